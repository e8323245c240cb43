import type { OutputFor } from '@subcloud/sdk/client';
import { counts } from './counts.ts';
import { fields, table } from './output.ts';

export type Plan = OutputFor<'planSubcloud'>;
type Total = Plan['capacity']['before'];

/** Whether anything at all would be otherwise. */
export function changesAnything(plan: Plan): boolean {
  return plan.change !== 'none' || plan.moves.length > 0;
}

export function planText(plan: Plan): string {
  const { join, leave, suspend, other, unchanged } = plan.counts;
  const elsewhere = plan.elsewhere.map(
    ({ subcloud, gain, lose }) =>
      `${subcloud} ${[gain > 0 ? `gains ${gain}` : '', lose > 0 ? `loses ${lose}` : ''].filter(Boolean).join(', ')}`,
  );
  const { gain, lose } = plan.hidden;
  if (gain + lose > 0) elsewhere.push(`pools that you may not see: gain ${gain}, lose ${lose}`);
  return [
    table(
      ['node', 'subcloud', 'from', 'to', 'why'],
      plan.moves.map((move) => [move.nodeName, move.subcloud, move.from, move.to, move.why]),
      'No membership would change.',
    ),
    '',
    fields([
      ['subcloud', `${plan.subcloud}: ${CHANGES[plan.change]}`],
      ['memberships', counts({ join, leave, suspend, other, unchanged }) || 'none'],
      ['members', `${plan.capacity.before.members} -> ${plan.capacity.after.members}`],
      ['requests at a time', `${capacity(plan.capacity.before)} -> ${capacity(plan.capacity.after)}`],
      ...plan.models.map(
        ({ model, before, after }) => [`model ${model}`, `${before.members} -> ${after.members} nodes`] as const,
      ),
      ['elsewhere', elsewhere.join('; ')],
    ]),
    ...(plan.failingTests.length === 0
      ? []
      : [
          '',
          table(
            ['failing test', 'why'],
            plan.failingTests.map(({ name, message }) => [name, message]),
          ),
        ]),
  ].join('\n');
}

const CHANGES: Readonly<Record<Plan['change'], string>> = {
  create: 'new',
  update: 'a new revision',
  delete: 'deleted',
  none: 'no change of the manifest',
};

function capacity({ members, concurrency, undeclared }: Total): string {
  if (undeclared === 0) return String(concurrency);
  return undeclared === members ? 'not declared' : `${concurrency} and ${undeclared} nodes that do not say`;
}
