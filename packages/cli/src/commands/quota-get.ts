import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { quotaTable } from '../quota-table.ts';

export function addQuotaGet(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'get [principal]', 'what somebody has and may have; default: you').action(
    cli.clientAction(async ({ client, output }, principal?: string) => {
      const query = principal === undefined ? {} : { principal: principal as `user:${string}` };
      output.result(await client.call('getQuota', { query }), quotaTable);
    }),
  );
}
