import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';

export function addUsage(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'usage', 'usage by principal, pool and model: all for the admin, else your own')
    .option('--since <time>', 'ISO 8601, for example 2026-01-01T00:00:00Z')
    .option('--until <time>', 'ISO 8601')
    .action(
      cli.clientAction<{ readonly since?: string; readonly until?: string }>(async ({ client, output, options }) => {
        const query = {
          ...(options.since === undefined ? {} : { since: options.since }),
          ...(options.until === undefined ? {} : { until: options.until }),
        };
        output.result(await client.call('listUsage', { query }), ({ items }) =>
          table(
            ['principal', 'pool', 'model', 'requests', 'prompt tokens', 'completion tokens', 'estimated'],
            items.map((item) => [
              item.principal,
              item.pool,
              item.model,
              item.requests,
              item.promptTokens,
              item.completionTokens,
              item.estimated,
            ]),
          ),
        );
      }),
    );
}
