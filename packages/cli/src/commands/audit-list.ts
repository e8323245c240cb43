import type { Command } from 'commander';
import { age } from '../age.ts';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';

interface Options {
  readonly actor?: string;
  readonly action?: string;
  readonly subject?: string;
  readonly request?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit: string;
}

export function addAuditList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list', 'who did what, newest first')
    .option('--actor <id>', 'what this one did')
    .option('--action <noun.verb>', 'of this kind, for example token.create')
    .option('--subject <kind:id>', 'to this thing, for example subcloud:eu-health')
    .option('--request <id>', 'of this request')
    .option('--since <time>', 'ISO 8601, for example 2026-01-01T00:00:00Z')
    .option('--until <time>', 'ISO 8601')
    .option('--limit <n>', 'at most so many', '50')
    .action(
      cli.clientAction<Options>(async ({ client, output, options, host }) => {
        const { actor, action, subject, request, since, until, limit } = options;
        const given = { actor, action, subject, request, since, until };
        const filters = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
        const { items } = await client.call('listAudit', { query: { ...filters, limit: Number(limit) } });
        const nowMs = host.clock.nowMs();
        output.result(items, () =>
          table(
            ['#', 'age', 'actor', 'role', 'action', 'subject', 'outcome', 'reason'],
            items.map((item) => [
              item.sequence,
              age(item.at, nowMs),
              item.actor,
              item.role,
              item.action,
              item.subject,
              item.code ?? item.outcome,
              item.reason,
            ]),
            'no entries',
          ),
        );
      }),
    );
}
