import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import type { OutputFor } from '@subcloud/sdk/client';
import { counts } from '../counts.ts';
import { fields, table } from '../output.ts';

export function addExplain(parent: Command, cli: Cli): void {
  networkLeaf(
    parent,
    'explain <name> [node]',
    'why a node is in a Subcloud or why not; without a node, all nodes counted by reason',
  ).action(
    cli.clientAction(async ({ client, output }, name: string, node?: string) => {
      if (node === undefined) {
        output.result(await client.call('explainSubcloud', { params: { name } }), explainedSubcloud);
        return;
      }
      const { resolveNode } = await import('../resolve-node.ts');
      const id = await resolveNode(client, node);
      output.result(await client.call('explainNode', { params: { name, node: id } }), explainedNode);
    }),
  );
}

function explainedSubcloud(found: OutputFor<'explainSubcloud'>): string {
  return fields([
    ['subcloud', `${found.subcloud}, revision ${found.revision}`],
    ['nodes considered', found.considered],
    ['members', counts(found.byState)],
    ['reasons against', counts(found.byReason)],
    ['models', counts(found.models)],
    ...(Object.keys(found.overLimit).length === 0
      ? []
      : [['over dry-run limits in 24 h', counts(found.overLimit)] as const]),
  ]);
}

function explainedNode(found: OutputFor<'explainNode'>): string {
  return [
    fields([
      ['node', found.node],
      ['subcloud', `${found.subcloud}, revision ${found.revision}`],
      ['eligible', found.eligible],
      ['membership', found.state === null ? 'none' : `${found.state} (${found.reason})`],
      ['since', found.since],
      ...(found.returnsAt === null ? [] : [['may return', found.returnsAt] as const]),
      ['serves elsewhere', found.servesElsewhere.join(', ')],
      ['online', found.online],
      ['serving', found.serving],
      ...(found.draining === undefined
        ? []
        : [['out of service', `draining: by its operator, since ${found.draining.since}`] as const]),
      ['operator permits', `${found.consent.permits ? 'yes' : 'no'}: ${found.consent.why}`],
      ['models', found.models.join(', ')],
      ...found.warnings.map((warning) => ['warning', warning] as const),
    ]),
    '',
    table(
      ['', 'clause', 'wanted', 'seen', 'source', 'issuer', 'age', 'what would make it pass'],
      found.clauses.map((clause) => [
        clause.pass ? 'pass' : 'FAIL',
        clause.clause,
        clause.wanted,
        clause.seen,
        clause.source,
        clause.issuer,
        clause.ageMs === null ? null : `${Math.round(clause.ageMs / 1000)} s`,
        clause.fix,
      ]),
      'The Subcloud has no clause about nodes.',
    ),
  ].join('\n');
}
