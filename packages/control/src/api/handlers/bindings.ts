import { AppError } from '@subcloud/contract/errors';
import type { Action } from '@subcloud/contract/routes/actions';
import type { Binding } from '@subcloud/contract/routes/bindings';
import type { Actor } from '../../access/actor.ts';
import { actorName } from '../../access/actor.ts';
import { may } from '../../access/authorise.ts';
import { type BindingChange, type BindingRecord, activeBinding, consenterOf } from '../../bindings/bindings.ts';
import { applyBindings, saveBindings } from '../../bindings/save-bindings.ts';
import type { World } from '../../world/world.ts';
import { type Handlers, type WriteContext, iso, page, withdrawn } from '../context.ts';

type Names = 'listBindings' | 'acceptBinding' | 'declineBinding' | 'endBinding';

export const bindingHandlers: Pick<Handlers, Names> = {
  listBindings({ loop }, { query }, actor) {
    const { world } = loop;
    const known = [...world.bindings.values()].filter(
      (record) =>
        mayAsEither(world, actor, record, 'binding.read') &&
        (query.subcloud === undefined || nameOf(world, record) === query.subcloud),
    );
    const { items, next } = page(known, ({ id }) => id, query);
    return { items: items.map((record) => view(world, actor, record, record.state)), next };
  },

  acceptBinding(context, { params }, actor) {
    return change(context, actor, params.id, 'accepted', (world, record) => {
      requireAnswer(world, actor, record);
      if (record.state === 'active') throw new AppError('client.conflict', { message: 'It is accepted already.' });
      const other = activeBinding(world, record.bound);
      if (other !== undefined) {
        const where = nameOf(world, other);
        throw new AppError('client.conflict', {
          message: `${record.bound} is bound to ${where} already: end that first (\`subcloud binding end ${where}\`).`,
        });
      }
      return 'active';
    });
  },

  declineBinding(context, { params }, actor) {
    return change(context, actor, params.id, 'declined', (world, record) => {
      requireAnswer(world, actor, record);
      if (record.state !== 'offered')
        throw new AppError('client.conflict', {
          message: record.state === 'active' ? 'It is accepted: end it instead.' : 'It is declined already.',
        });
      return 'declined';
    });
  },

  endBinding(context, { params }, actor) {
    return change(context, actor, params.id, 'ended', (world, record) => {
      if (!mayAsEither(world, actor, record, actor.action))
        throw refuse(world, actor, record, 'Only an admin of either side may end a binding.');
      return 'ended';
    });
  },
};

/** `decide` says what it becomes, or throws. */
async function change(
  context: WriteContext,
  actor: Actor,
  id: string,
  reason: string,
  decide: (world: World, record: BindingRecord) => Binding['state'],
): Promise<{ binding: Binding; withdrawal: Awaited<ReturnType<typeof withdrawn>> }> {
  const { loop, clock, pass } = context;
  const { result, tableVersion } = await loop.change((tx) => {
    const { world } = loop;
    const before = world.bindings.get(id);
    if (before === undefined) throw notFound(id);
    const state = decide(world, before);
    const nowMs = clock.nowMs();
    const by = actorName(actor);
    const moved = { ...before, sinceMs: nowMs, changedBy: by };
    const binding: BindingChange = { before, after: state === 'ended' ? null : { ...moved, state }, reason };
    const shown = view(world, actor, moved, state);
    const said = { subcloud: shown.subcloud, bound: before.bound };
    return saveBindings(tx, [binding], by, nowMs).then(() => ({
      audit: {
        subject: `binding:${id}`,
        before: { ...said, state: before.state },
        after: state === 'ended' ? null : { ...said, state },
      },
      result: shown,
      touched: [],
      apply: (at: World) => applyBindings(at, pass.table, [binding]),
    }));
  });
  return { binding: result, withdrawal: await withdrawn(context, tableVersion) };
}

/** Whether the answer is the actor's: an admin of who is bound. */
function answers(world: World, actor: Actor, record: BindingRecord): boolean {
  return mayAsBound(world, actor, record, 'binding.accept');
}

function mayAsBound(world: World, actor: Actor, { bound }: BindingRecord, action: Action): boolean {
  const principal = consenterOf(world, bound);
  return principal !== undefined && may(world, actor, { kind: 'principal', principal }, action);
}

/** As one of who is bound, or as one of the Subcloud. */
function mayAsEither(world: World, actor: Actor, record: BindingRecord, action: Action): boolean {
  const subcloud = world.subclouds.get(record.subcloudId);
  if (subcloud !== undefined && may(world, actor, { kind: 'subcloud', subcloud }, action)) return true;
  return mayAsBound(world, actor, record, action);
}

function refuse(world: World, actor: Actor, record: BindingRecord, message: string): AppError {
  if (!mayAsEither(world, actor, record, 'binding.read')) return notFound(record.id);
  return new AppError('policy.forbidden', { message });
}

function requireAnswer(world: World, actor: Actor, record: BindingRecord): void {
  if (mayAsBound(world, actor, record, actor.action)) return;
  const who = consenterOf(world, record.bound) ?? record.bound;
  throw refuse(
    world,
    actor,
    record,
    `Only an admin of ${who} may answer: nobody's traffic moves without their own yes.`,
  );
}

function nameOf(world: World, { subcloudId }: BindingRecord): string {
  return world.subclouds.get(subcloudId)?.name ?? subcloudId;
}

function view(world: World, actor: Actor, record: BindingRecord, state: Binding['state']): Binding {
  return {
    id: record.id,
    subcloud: nameOf(world, record),
    bound: record.bound,
    state,
    since: iso(record.sinceMs),
    changedBy: record.changedBy,
    yours: answers(world, actor, record),
  };
}

function notFound(id: string): AppError {
  return new AppError('client.not_found', {
    message: `There is no live binding ${id}, or this credential may not know of it.`,
  });
}
