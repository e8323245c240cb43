/**
 * Puts a network back from a backup, into a database that holds none.
 *
 * - Nothing starts on half of it: without the files, which come last, control refuses the database.
 * - The epoch is higher than any that this network ever had, so that agents and gateways take its documents and tables
 *   over those that they saw last.
 * - Node documents do not come back: each agent gets a new one, and serves when it has acknowledged it.
 * - What was withdrawn after the backup is withdrawn again, by the copy of the audit log. Without that copy nobody knows
 *   what was, and the caller must say that it takes that.
 * - A signing key that was rotated away since, or may have been, is on its way out again from the first start on.
 */
import { join } from 'node:path';
import { writeFileDurably } from '@subcloud/kit/files';
import { withClient } from '@subcloud/kit/postgres/with-client';
import type pg from 'pg';
import { withNextKey } from '../keys/next-key-files.ts';
import { migrate } from '../store/migrate.ts';
import { type MirroredEntry, entriesAfter } from './audit-mirror.ts';
import { BackupError, type BackupHeader, backupFile, isKeptFile } from './backup-format.ts';
import { linesOf, verifyBackup } from './read-backup.ts';
import { type TableShape, tablesOf } from './tables.ts';
import { KEY_ROTATION, type Replayed, withdrawAgain } from './withdrawals.ts';

const ROWS_AN_INSERT = 500;
/**
 * The restored network's table versions begin above all that the lost one can have used since the backup: gateways speak of
 * versions alone when they acknowledge, and an old one must not pass for a new one. No network uses up as many in a second.
 */
export const VERSIONS_AN_EPOCH = 1_000_000;
/** 2026-01-01: epochs are seconds since then, so that a restore of an old backup is above every restore before it. */
const EPOCHS_FROM_MS = 1_767_225_600_000;
/** Sessions that were ended since would come back with them: people sign in again. */
const NOT_RESTORED = /\b(?:sessions?|verifications?|device_?codes?|idempotency_\w+)"?$/i;
const TABLE_OF_LINE = /"table": ("(?:[^"\\]|\\.)*")\}$/;

export interface RestoreOptions {
  readonly file: string;
  /** Of a database without a network. */
  readonly databaseUrl: string;
  readonly dataDir: string;
  /** The copy of the audit log that the lost network kept; null: there is none, and that is accepted. */
  readonly mirror: string | null;
  readonly nowMs: number;
  readonly onProgress?: (progress: { readonly lines: number; readonly of: number }) => void;
}

export interface Restored extends Replayed {
  readonly header: BackupHeader;
  readonly epoch: number;
  readonly rows: number;
  /** Without a mirror: what gives access, and may have been withdrawn since; kind to ids. */
  readonly unknown: Readonly<Record<string, readonly string[]>> | null;
}

/** Throws BackupError, or what the database says. */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { file, databaseUrl, dataDir, mirror, nowMs } = options;
  const { header, lines } = await verifyBackup(file);
  const since = mirror === null ? [] : await entriesAfter(mirror, header.auditSequence, header.auditHash);
  await refuseUsed(databaseUrl);
  await migrate(databaseUrl, header.migration);
  const files: { file: string; text: string }[] = [];
  const epoch = Math.max(header.epoch + 1, Math.floor((nowMs - EPOCHS_FROM_MS) / 1_000));
  const rows = await inTransaction(databaseUrl, (client) => insertAll(client, { ...options, of: lines }, files));
  // Rows of an older release are brought up to date before they are judged: what was withdrawn may be of a newer kind.
  await migrate(databaseUrl);
  const settled = await inTransaction(databaseUrl, async (client) => {
    const replayed = await withdrawAgain(client, since);
    await settle(client, { header, epoch, nowMs, replayed, mirrored: mirror !== null });
    return { ...replayed, unknown: mirror === null ? await accessOf(client) : null };
  });
  const restored = { header, epoch, rows, ...settled };
  // Last: without these files no control starts on what a restore left half done.
  const isKeyOutdated = mirror === null || settled.withdrawn.some(({ entry }) => entry.action === KEY_ROTATION);
  for (const { file: name, text } of isKeyOutdated ? withNextKey(files) : files)
    writeFileDurably(join(dataDir, name), text);
  return restored;
}

function inTransaction<Result>(databaseUrl: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  return withClient(databaseUrl, async (client) => {
    await client.query('begin');
    try {
      const result = await work(client);
      await client.query('commit');
      return result;
    } catch (error) {
      await client.query('rollback');
      throw error;
    }
  });
}

async function refuseUsed(databaseUrl: string): Promise<void> {
  const isUsed = await withClient(databaseUrl, async (client) => {
    const { rowCount } = await client.query(`select 1 where to_regclass('public.network') is not null`);
    return rowCount === 1 && (await client.query('select 1 from network')).rowCount !== 0;
  });
  if (isUsed)
    throw new BackupError(
      'The database holds a network already; a restore never writes over one.',
      'Restore into an empty database or data folder.',
    );
}

async function insertAll(
  client: pg.ClientBase,
  { file, onProgress, of }: RestoreOptions & { readonly of: number },
  files: { file: string; text: string }[],
): Promise<number> {
  const tables = new Map((await tablesOf(client)).map((table) => [table.name, table]));
  // What the database derived (the chain of the audit log) comes as it was, and is not derived again.
  for (const { name, hasTriggers } of tables.values())
    if (hasTriggers) await client.query(`alter table ${name} disable trigger user`);
  for (const name of [...tables.keys()].reverse()) await client.query(`delete from ${name}`);
  let held: string[] = [];
  let of_: TableShape | undefined;
  let rows = 0;
  let lines = 0;
  const flush = async (): Promise<void> => {
    if (of_ !== undefined && held.length > 0 && !NOT_RESTORED.test(of_.name)) await insertRows(client, of_, held);
    rows += held.length;
    held = [];
    onProgress?.({ lines, of });
  };
  for await (const line of linesOf(file)) {
    lines += 1;
    if (lines === 1 || lines > of) continue;
    const name = TABLE_OF_LINE.exec(line)?.[1];
    if (name === undefined) {
      files.push(keptFile(line));
      continue;
    }
    const table = tables.get(JSON.parse(name) as string);
    if (table === undefined)
      throw new BackupError(`The backup has a table ${name} that this release does not know.`, 'Use a newer release.');
    if (table !== of_ || held.length >= ROWS_AN_INSERT) await flush();
    of_ = table;
    held.push(line);
  }
  await flush();
  for (const { name, hasTriggers } of tables.values())
    if (hasTriggers) await client.query(`alter table ${name} enable trigger user`);
  await setSequences(client);
  return rows;
}

/** The rows travel as text: a number never passes through JavaScript's. */
async function insertRows(client: pg.ClientBase, { name, columns }: TableShape, lines: readonly string[]) {
  const list = columns.join(', ');
  await client.query(
    `insert into ${name} (${list}) overriding system value
     select ${list} from jsonb_populate_recordset(null::${name},
       (select jsonb_agg(line -> 'row') from jsonb_array_elements($1::jsonb) as line))`,
    [`[${lines.join(',')}]`],
  );
}

function keptFile(line: string): { file: string; text: string } {
  const parsed = backupFile.safeParse(JSON.parse(line));
  if (parsed.success && isKeptFile(parsed.data.file)) return parsed.data;
  throw new BackupError('The backup has a line of an unknown kind.', 'Use a newer release.');
}

/** Counters go on after the highest number that was restored. */
async function setSequences(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ sequence: string; table: string; column: string }>(`
    select d.objid::regclass::text as sequence, d.refobjid::regclass::text as table, quote_ident(a.attname) as column
    from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S'
    join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')`);
  for (const { sequence, table, column } of rows)
    await client.query(`select setval($1::regclass, coalesce((select max(${column}) from ${table}), 0) + 1, false)`, [
      sequence,
    ]);
}

async function settle(
  client: pg.ClientBase,
  done: {
    readonly header: BackupHeader;
    readonly epoch: number;
    readonly nowMs: number;
    readonly replayed: Replayed;
    readonly mirrored: boolean;
  },
): Promise<void> {
  const { header, epoch, nowMs, replayed, mirrored } = done;
  await client.query(
    'update network set epoch = $1::integer, table_version_reserved = greatest(table_version_reserved, $1::integer::bigint * $2::bigint)',
    [epoch, VERSIONS_AN_EPOCH],
  );
  await client.query('delete from node_documents');
  // Gateways of the lost network may serve by its last table until the leases that it gave have ended.
  await client.query('update gateway_leases set leased_at = $1', [nowMs]);
  // Whoever led is gone; its process number may be another's by now.
  await client.query(`update leader set holder = ''`);
  const ids = (entries: readonly MirroredEntry[]) => entries.slice(0, 500).map(({ entry }) => entry.subject);
  await client.query('insert into audit (entry) values ($1)', [
    JSON.stringify({
      version: 1,
      at: nowMs,
      requestId: 'restore',
      actor: 'control',
      role: 'admin',
      action: 'network.restore',
      subject: `network:${header.networkId}`,
      outcome: 'done',
      code: null,
      reason: null,
      before: { epoch: header.epoch, takenAtMs: header.takenAtMs, auditSequence: header.auditSequence },
      after: { epoch, mirrored, withdrawnAgain: ids(replayed.withdrawn), undone: ids(replayed.undone) },
    }),
  ]);
}

/** What opens anything, by kind. */
async function accessOf(client: pg.ClientBase): Promise<Record<string, string[]>> {
  const lists: Readonly<Record<string, string>> = {
    keys: 'select id from account_keys where revoked_at is null',
    tokens: 'select id from subcloud_tokens where revoked_at is null',
    'join tokens': 'select id from join_tokens where revoked_at is null',
    attesters: 'select name as id from attesters where revoked_at is null',
    accounts: 'select principal as id from accounts where disabled_at is null',
    gateways: `select id from gateways where by = 'tls' and removed_at is null`,
    'gateway tokens': 'select id from gateway_tokens where revoked_at is null and gateway_id is null',
    nodes: 'select id from nodes where removed_at is null',
    Subclouds: `select name as id from subclouds where deleted_at is null and id <> 'global'`,
  };
  const found: Record<string, string[]> = {};
  for (const [kind, select] of Object.entries(lists)) {
    const { rows } = await client.query<{ id: string }>(`${select} order by 1`);
    if (rows.length > 0) found[kind] = rows.map(({ id }) => id);
  }
  return found;
}

/** Where a start of control finds the copy that it keeps, unless it is told another place. */
export function mirrorIn(dataDir: string): string {
  return join(dataDir, 'audit', 'mirror.jsonl');
}
