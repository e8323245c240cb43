/**
 * Writes a backup of a network while it runs: all rows as of one moment, in one read-only transaction, and the files
 * without which they are of no use. It holds secrets; whoever calls keeps it as it keeps the data folder.
 */
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import pg from 'pg';
import { readFileIfPresent } from '@subcloud/kit/files';
import { fingerprintOf } from '@subcloud/kit/signing';
import { BACKUP_VERSION, BackupError, type BackupHeader, isKeptFile } from './backup-format.ts';
import { tablesOf } from './tables.ts';

const ROWS_A_FETCH = 500;

export interface BackupProgress {
  readonly table: string;
  readonly rows: number;
}

/** Resolves with the header and the number of lines when `out` has taken the last byte. Throws BackupError, or the database's error. */
export async function writeBackup(options: {
  readonly databaseUrl: string;
  readonly dataDir: string;
  readonly out: Writable;
  readonly nowMs: number;
  readonly onProgress?: (progress: BackupProgress) => void;
}): Promise<{ readonly header: BackupHeader; readonly lines: number }> {
  const client = new pg.Client({ connectionString: options.databaseUrl });
  // A connection that breaks fails the statement; without a listener it would end the process instead.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('begin transaction isolation level repeatable read read only');
    const header = await headerOf(client, options.nowMs);
    const files = keptFiles(options.dataDir);
    if (!files.some(({ file }) => file === 'credentials.json'))
      throw new BackupError(
        `${join(options.dataDir, 'credentials.json')} is not there: this is not the data folder of control.`,
        'Name it with --data DIR.',
      );
    let lines = 0;
    const source = Readable.from(
      sealed([header, ...files], client, options.onProgress, (count) => (lines = count)),
      { objectMode: false, highWaterMark: 65_536 },
    );
    await pipeline(source, createGzip({ level: 6 }), options.out);
    await client.query('commit');
    return { header, lines };
  } finally {
    await client.end();
  }
}

async function headerOf(client: pg.ClientBase, nowMs: number): Promise<BackupHeader> {
  const { rows } = await client.query<{
    id: string;
    network_key: string;
    epoch: number;
    migration: number;
    sequence: string | null;
    hash: string | null;
  }>(`select id, network_key, epoch, (select max(number) from migrations) as migration, a.sequence, a.hash
      from network left join (select sequence, hash from audit order by sequence desc limit 1) a on true`);
  const [row] = rows;
  if (row === undefined) throw new BackupError('The database holds no network.', 'Name its URL or its data folder.');
  return {
    format: 'subcloud-backup',
    version: BACKUP_VERSION,
    networkId: row.id,
    fingerprint: fingerprintOf(row.network_key),
    epoch: row.epoch,
    migration: row.migration,
    auditSequence: Number(row.sequence ?? 0),
    auditHash: row.hash ?? '0'.repeat(64),
    takenAtMs: nowMs,
  };
}

function keptFiles(dataDir: string): { file: string; text: string }[] {
  const names = ['credentials.json', ...readdirSync(join(dataDir, 'keys')).map((name) => `keys/${name}`)];
  return names.filter(isKeptFile).flatMap((file) => {
    const text = readFileIfPresent(join(dataDir, file));
    return text === undefined ? [] : [{ file, text }];
  });
}

/** Every line, and the last one, which seals them. */
async function* sealed(
  first: readonly object[],
  client: pg.ClientBase,
  onProgress: ((progress: BackupProgress) => void) | undefined,
  onEnd: (lines: number) => void,
): AsyncGenerator<string> {
  const hash = createHash('sha256');
  let lines = 0;
  const counted = (text: string, count: number): string => {
    hash.update(text);
    lines += count;
    return text;
  };
  for (const value of first) yield counted(`${JSON.stringify(value)}\n`, 1);
  for await (const page of rowPages(client, onProgress)) yield counted(page.text, page.rows);
  yield `${JSON.stringify({ lines, sha256: hash.digest('hex') })}\n`;
  onEnd(lines);
}

async function* rowPages(
  client: pg.ClientBase,
  onProgress: ((progress: BackupProgress) => void) | undefined,
): AsyncGenerator<{ readonly text: string; readonly rows: number }> {
  for (const { name, columns } of await tablesOf(client)) {
    const select = `select jsonb_build_object('table', $t$${name}$t$, 'row', to_jsonb(r))::text as line from (select ${columns.join(', ')} from ${name}) r`;
    await client.query(`declare backup_rows no scroll cursor for ${select}`);
    let rows = 0;
    for (;;) {
      const page = await client.query<{ line: string }>(`fetch ${ROWS_A_FETCH} from backup_rows`);
      if (page.rows.length === 0) break;
      rows += page.rows.length;
      yield { text: `${page.rows.map(({ line }) => line).join('\n')}\n`, rows: page.rows.length };
    }
    await client.query('close backup_rows');
    onProgress?.({ table: name, rows });
  }
}
