import type { InputOf } from '@subcloud/sdk/client';
import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { type Cli, networkLeaf } from '../command.ts';
import { quotaTable } from '../quota-table.ts';

type Limits = InputOf<'setQuota'>['body']['limits'];

const NAMES = ['subclouds', 'domains', 'tokens', 'celSteps', 'organisations'] as const;

export function addQuotaSet(parent: Command, cli: Cli): void {
  networkLeaf(
    parent,
    'set <principal> <quota=number>',
    'change what somebody may have; `everybody` for who has no limits of its own',
  )
    .option('--also <quota=number...>', `further ones, of ${NAMES.join(', ')}; \`default\` for a number: as everybody`)
    .action(
      cli.clientAction<{ readonly also?: readonly string[] }>(
        async ({ client, output, options }, principal: string, first: string) => {
          const limits = Object.fromEntries([first, ...(options.also ?? [])].map(limitOf)) as Limits;
          const whose = principal === 'everybody' ? {} : { principal: principal as `user:${string}` };
          output.result(await client.call('setQuota', { body: { ...whose, limits } }), quotaTable);
        },
      ),
    );
}

function limitOf(text: string): readonly [string, number | null] {
  const [, name = '', value = ''] = /^(\w+)=(\d{1,10}|default)$/.exec(text) ?? [];
  if (!(NAMES as readonly string[]).includes(name))
    throw new CliError({
      code: 'client.invalid_request',
      message: `${text} is no quota.`,
      next: `Write QUOTA=NUMBER, of ${NAMES.join(', ')}.`,
    });
  return [name, value === 'default' ? null : Number(value)];
}
