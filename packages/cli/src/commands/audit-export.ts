import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { AuditLine } from '@subcloud/sdk/audit-log';
import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { type Cli, networkLeaf } from '../command.ts';
import { counted } from '../counts.ts';

export function addAuditExport(parent: Command, cli: Cli): void {
  networkLeaf(
    parent,
    'export [file]',
    'the whole audit log as JSON lines, with its seals; to stdout if no file is given',
  ).action(
    cli.clientAction(async ({ client, output, host }, file?: string) => {
      const { auditOfNetwork } = await import('@subcloud/sdk/audit-log');
      const counts = { entry: 0, seal: 0, log: 0, end: 0 };
      async function* text(): AsyncGenerator<string> {
        for await (const line of auditOfNetwork(client) as AsyncIterable<AuditLine>) {
          counts[line.kind] += 1;
          yield `${JSON.stringify(line)}\n`;
        }
      }
      if (file === undefined) {
        for await (const line of text()) host.stdout.write(line);
        return;
      }
      // Not over an earlier one: that may be what a later log is verified against.
      await pipeline(text, createWriteStream(file, { flags: 'wx', mode: 0o600, flush: true })).catch(
        (error: unknown) => {
          throw error instanceof Error && 'syscall' in error ? unwritable(file, error) : error;
        },
      );
      output.result(
        { file, entries: counts.entry, seals: counts.seal },
        ({ entries }) => `${counted(entries, 'entry', 'entries')} written to ${file}.`,
      );
    }),
  );
}

function unwritable(file: string, error: Error): CliError {
  return new CliError({
    code: 'client.unwritable_file',
    message: `${file} cannot be written: ${error.message}`,
    next: 'Name a file that is not there yet, in a folder that you may write to.',
    cause: error,
  });
}
