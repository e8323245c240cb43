import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { CliError } from '../cli-error.ts';
import { accountId } from '../group-id.ts';

export function addAccountPassword(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'password [account]', 'change a password; that of somebody else as network admin')
    .option('--password-stdin', 'read from stdin: the current password, then the new one, a line each')
    .action(
      cli.clientAction<{ readonly passwordStdin?: boolean }>(
        async ({ client, host, output, options }, account?: string) => {
          const { principal } = await client.call('whoami');
          const wanted = account === undefined ? principal : `user:${accountId(account)}`;
          if (wanted === null)
            throw new CliError({
              code: 'client.no_account',
              message: 'The admin token is no account.',
              next: 'Name the account.',
            });
          const { askSecret } = await import('../prompt.ts');
          const { readInput } = await import('../read-input.ts');
          const own = wanted === principal;
          const lines =
            options.passwordStdin === true ? (await readInput('-', host.stdin, 4_096)).split(/\r?\n/) : undefined;
          const ask = (question: string): Promise<string> => askSecret(host, question, '--password-stdin');
          const current = own ? (lines === undefined ? await ask('Current password') : lines.shift()) : undefined;
          const next = lines === undefined ? await ask('New password, at least 12 characters') : (lines.shift() ?? '');
          const input = {
            params: { id: accountId(wanted) },
            body: { next, ...(current === undefined ? {} : { current }) },
          };
          output.result(
            await client.call('setPassword', input),
            ({ sessionsEnded }) => `The password of ${wanted} is changed; ${sessionsEnded} sessions have ended.`,
          );
        },
      ),
    );
}
