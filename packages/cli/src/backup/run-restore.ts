import { existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Restored, restoreBackup } from '@subcloud/control/run';
import { CliError } from '../cli-error.ts';
import type { CliHost } from '../cli-host.ts';
import type { RestoreFlags } from '../commands/restore.ts';
import { DEFAULT_DATA_DIR } from '../find-network.ts';
import { type Output, fields, table } from '../output.ts';
import { asCliError } from './run-backup.ts';
import { databaseByUrl, withOwnDatabase } from './with-database.ts';

/** Lines between two words of progress. */
const PROGRESS_LINES = 20_000;

export async function runRestore(host: CliHost, output: Output, file: string, flags: RestoreFlags): Promise<void> {
  if (flags.mirror && flags.mirrorFile === undefined)
    throw new CliError({
      code: 'client.no_mirror',
      message: 'Nothing says what was withdrawn after the backup: it would come back unnoticed.',
      next: 'Give --mirror-file with audit/mirror.jsonl of the lost data folder; or, if that is lost too, --no-mirror, and check what is listed.',
    });
  const dataDir = emptyFolder(resolve(flags.data ?? DEFAULT_DATA_DIR));
  const byUrl = databaseByUrl(host);
  let told = 0;
  const restore = (databaseUrl: string): Promise<Restored> =>
    restoreBackup({
      file: resolve(file),
      databaseUrl,
      dataDir,
      mirror: flags.mirrorFile === undefined ? null : resolve(flags.mirrorFile),
      nowMs: host.clock.nowMs(),
      onProgress: ({ lines, of }) => {
        if (lines - told < PROGRESS_LINES && lines < of) return;
        told = lines;
        output.progress(`${Math.min(lines, of)} of ${of} lines`);
      },
    });
  try {
    const restored = await (byUrl === undefined ? withOwnDatabase(host, dataDir, restore) : restore(byUrl));
    output.result(asJson(restored, dataDir), () => inWords(restored, dataDir));
  } catch (error) {
    throw asCliError(error, file);
  }
}

/** The folder, made if it is not there. A network's folder is never written over. */
function emptyFolder(dataDir: string): string {
  if (existsSync(dataDir) && readdirSync(dataDir).some((name) => name !== 'run'))
    throw new CliError({
      code: 'config.folder_in_use',
      message: `${dataDir} is not empty; a restore never writes over anything.`,
      next: 'Move it away (and keep its audit/mirror.jsonl for --mirror-file), or name another folder with --data DIR.',
    });
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  return realpathSync(dataDir);
}

function asJson({ header, epoch, rows, withdrawn, undone, unknown }: Restored, dataDir: string) {
  return {
    dataDir,
    networkId: header.networkId,
    takenAt: new Date(header.takenAtMs).toISOString(),
    epoch,
    rows,
    withdrawnAgain: withdrawn.map(({ entry }) => entry),
    undone: undone.map(({ entry }) => entry),
    mayHaveBeenWithdrawn: unknown,
  };
}

function inWords({ header, epoch, rows, withdrawn, undone, unknown }: Restored, dataDir: string): string {
  const list = (entries: Restored['undone']) =>
    table(
      ['when', 'who', 'what', 'of'],
      entries.map(({ entry }) => [new Date(entry.at).toISOString(), entry.actor, entry.action, entry.subject]),
    );
  const takenAt = new Date(header.takenAtMs).toISOString();
  return [
    fields([
      ['network', header.networkId],
      ['as of', takenAt],
      ['rows', rows],
      ['epoch', epoch],
      ['folder', dataDir],
    ]),
    ...(withdrawn.length === 0 ? [] : ['', 'Withdrawn again, as it was after the backup:', list(withdrawn)]),
    ...(undone.length === 0
      ? []
      : ['', 'Done after the backup, and not done any more. Look at each, and do again what must hold:', list(undone)]),
    ...(unknown === null
      ? []
      : [
          '',
          `Valid again as of ${takenAt}, though somebody may have withdrawn it since (no copy of the audit log was given):`,
          fields(Object.entries(unknown).map(([kind, ids]) => [kind, ids.join(' ')])),
        ]),
    '',
    'Start it with `subcloud up --data DIR` under the address that it had: every agent comes back by itself.',
  ].join('\n');
}
