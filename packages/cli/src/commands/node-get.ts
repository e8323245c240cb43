import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { drainText } from '../drain-text.ts';
import { fields, table } from '../output.ts';

export function addNodeGet(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'get <node>', 'one node, by id or name, with all claims about it').action(
    cli.clientAction(async ({ client, output }, node: string) => {
      const { resolveNode } = await import('../resolve-node.ts');
      const id = await resolveNode(client, node);
      output.result(await client.call('getNode', { params: { id } }), (found) =>
        [
          fields([
            ['id', found.id],
            ['name', found.name],
            ['operator', found.operator],
            ['online', found.online],
            ...(found.draining === undefined
              ? []
              : [
                  ['out of service', drainText(found.draining)] as const,
                  ['since', found.draining.since] as const,
                  ['by', found.draining.by] as const,
                  ['reason', found.draining.reason] as const,
                ]),
            ['address', found.address],
            ['last seen', found.lastSeenAt],
            ['agent', found.agentVersion],
            ['models', found.models.join(', ')],
            [
              'labels',
              Object.entries(found.labels)
                .map(([key, value]) => `${key}=${value}`)
                .join(', '),
            ],
            ...found.warnings.map((warning) => ['warning', warning] as const),
          ]),
          '',
          table(
            ['pool', 'state', 'reason'],
            found.pools.map(({ pool, state, reason }) => [pool, state, reason]),
            'in no pool',
          ),
          '',
          table(
            ['fact', 'value', 'source', 'issuer', 'confirmed', 'expires'],
            found.claims.map((claim) => [
              claim.fact,
              JSON.stringify(claim.value),
              claim.source,
              claim.issuer,
              claim.confirmedAt,
              claim.expiresAt,
            ]),
            'no claims',
          ),
        ].join('\n'),
      );
    }),
  );
}
