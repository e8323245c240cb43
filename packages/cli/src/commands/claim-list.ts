import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { age } from '../age.ts';
import { table } from '../output.ts';

export function addClaimList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list [node]', 'what is said of nodes and weights, by whom, and whether it counts')
    .option('--revoked', 'revoked and superseded ones too')
    .action(
      cli.clientAction<{ readonly revoked?: boolean }>(async ({ client, output, options, host }, node: string) => {
        const { listAll } = await import('@subcloud/sdk/pages');
        const { resolveNode } = await import('../resolve-node.ts');
        const about = node === undefined ? undefined : await resolveNode(client, node);
        const query = {
          ...(about === undefined ? {} : { node: about }),
          ...(options.revoked === true ? { revoked: 'true' as const } : {}),
        };
        const nowMs = host.clock.nowMs();
        output.result(await listAll(client, 'listClaims', { query }), (items) =>
          table(
            [
              ...(about === undefined ? ['about'] : []),
              'fact',
              'value',
              'source',
              'issuer',
              'age',
              'expires',
              'counted',
              'id',
            ],
            items.map((item) => [
              ...(about === undefined ? [item.node ?? item.digest] : []),
              item.fact,
              JSON.stringify(item.value),
              item.source,
              item.issuer,
              age(item.source === 'measured' ? item.confirmedAt : item.issuedAt, nowMs),
              item.expiresAt,
              item.counted ? (item.why ?? 'yes') : `no: ${item.why ?? 'unknown'}`,
              item.id,
            ]),
            'no claims',
          ),
        );
      }),
    );
}
