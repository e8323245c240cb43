import { createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { BackupError, writeBackup } from '@subcloud/control/run';
import { CliError } from '../cli-error.ts';
import type { CliHost } from '../cli-host.ts';
import type { BackupFlags } from '../commands/backup.ts';
import { DEFAULT_DATA_DIR } from '../find-network.ts';
import { type Output, fields } from '../output.ts';
import { withDatabase } from './with-database.ts';

/** Writes the backup beside its name and renames it when it is whole and on the disk. */
export async function runBackup(host: CliHost, output: Output, flags: BackupFlags): Promise<void> {
  const dataDir = resolve(flags.data ?? host.env['SUBCLOUD_DATA'] ?? DEFAULT_DATA_DIR);
  const nowMs = host.clock.nowMs();
  const file = resolve(flags.out ?? `subcloud-${new Date(nowMs).toISOString().replaceAll(/[:.]/g, '-')}.backup.gz`);
  const partial = `${file}.partial`;
  try {
    const { header, lines } = await withDatabase(host, dataDir, (databaseUrl) =>
      writeBackup({
        databaseUrl,
        dataDir,
        nowMs,
        // Nobody else reads it, whatever the umask.
        out: createWriteStream(partial, { flags: 'wx', mode: 0o600 }),
        onProgress: ({ table, rows }) => output.progress(`${table}: ${rows} rows`),
      }),
    );
    await settleFile(partial, file);
    const { networkId, epoch, auditSequence } = header;
    output.result({ file, networkId, epoch, auditSequence, lines }, () =>
      [
        fields([
          ['file', file],
          ['network', networkId],
          ['lines', lines],
        ]),
        '',
        'It holds keys and credentials: keep it as you keep the data folder. What is withdrawn from now on is known from',
        "audit/mirror.jsonl of the data folder: keep a copy of that elsewhere too (control's --audit-mirror).",
      ].join('\n'),
    );
  } catch (error) {
    if (!isExists(error)) await rm(partial, { force: true });
    throw asCliError(error, partial);
  }
}

async function settleFile(partial: string, file: string): Promise<void> {
  const written = await open(partial, 'r');
  await written.sync();
  await written.close();
  await rename(partial, file);
  const folder = await open(dirname(file), 'r');
  await folder.sync();
  await folder.close();
}

function isExists(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST';
}

export function asCliError(error: unknown, partial: string): unknown {
  if (error instanceof BackupError)
    return new CliError({ code: 'config.backup', message: error.message, next: error.next, cause: error });
  if (isExists(error))
    return new CliError({
      code: 'client.backup_under_way',
      message: `${partial} is there: another backup is being written to this name, or one was broken off.`,
      next: 'Wait for it, or delete the file.',
      cause: error,
    });
  return error;
}
