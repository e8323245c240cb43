import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { type Cell, table } from '../output.ts';

interface Options {
  readonly by: string;
  readonly since?: string;
  readonly until?: string;
  readonly csv?: boolean;
}
const COUNTS = ['requests', 'promptTokens', 'completionTokens', 'estimated'] as const;
const TITLES = ['requests', 'prompt tokens', 'completion tokens', 'estimated'] as const;

export function addUsage(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'usage', 'usage: all for the admin, else your own and that of your Subclouds')
    .option(
      '--by <groups>',
      'of day, principal, organisation, subcloud, model; separated by commas',
      'principal,subcloud,model',
    )
    .option('--since <time>', 'ISO 8601, for example 2026-01-01T00:00:00Z')
    .option('--until <time>', 'ISO 8601')
    .option('--csv', 'print comma-separated values (RFC 4180)')
    .action(
      cli.clientAction<Options>(async ({ client, output, options }) => {
        const { listAll } = await import('@subcloud/sdk/pages');
        const { by, since, until } = options;
        const query = { by, ...(since === undefined ? {} : { since }), ...(until === undefined ? {} : { until }) };
        const items = await listAll(client, 'listUsage', { query });
        const groups = (['day', 'principal', 'organisation', 'subcloud', 'model'] as const).filter((group) =>
          by.split(',').includes(group),
        );
        const rows = items.map((item): Cell[] => [...groups, ...COUNTS].map((column) => item[column]));
        output.result({ items }, () =>
          options.csv === true
            ? csv([[...groups, ...COUNTS], ...rows])
            : table([...groups, ...TITLES], rows, 'no usage'),
        );
      }),
    );
}

/** A cell that a spreadsheet would take for a formula is none. */
function csv(rows: readonly (readonly Cell[])[]): string {
  const cell = (value: Cell): string => {
    const text = `${value ?? ''}`;
    const safe = /^[=+\-@\t\r]/.test(text) && typeof value !== 'number' ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return rows.map((row) => row.map(cell).join(',')).join('\r\n');
}
