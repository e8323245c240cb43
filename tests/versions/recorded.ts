/** Reads what record/main.ts wrote, and puts it back: rows into a database, files into a folder, time into a clock. */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { tablesOf } from '@subcloud/control/backup/tables';
import { socketUrl } from '@subcloud/kit/postgres/socket-url';
import { withClient } from '@subcloud/kit/postgres/with-client';
import { type ControllableClock, controllableClock } from '@subcloud/testkit/controllable-clock';
import { inject } from 'vitest';
import type { Meaning } from './record/story.ts';
import type { TapeEntry } from './record/tape.ts';

const FOLDER = join(import.meta.dirname, 'recorded');

export interface Row {
  readonly table: string;
  readonly row: Readonly<Record<string, unknown>>;
}

export interface Recorded {
  readonly name: string;
  readonly rows: readonly Row[];
  readonly files: readonly { readonly path: string; readonly base64: string }[];
  readonly meaning: Omit<Meaning, 'agents'> & {
    readonly versions: {
      readonly link: number;
      readonly watch: number;
      readonly table: number;
      readonly schema: number;
    };
    readonly recordedAtMs: number;
  };
  /** Empty where the channel was not kept. */
  tape(channel: 'link' | 'watch'): readonly TapeEntry[];
}

export const recordedNames: readonly string[] = readdirSync(FOLDER, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort();

export function readRecorded(name: string): Recorded {
  const folder = join(FOLDER, name);
  return {
    name,
    rows: lines(join(folder, 'rows.jsonl.gz')) as Row[],
    files: lines(join(folder, 'files.jsonl.gz')) as Recorded['files'],
    meaning: JSON.parse(readFileSync(join(folder, 'meaning.json'), 'utf8')) as Recorded['meaning'],
    tape(channel) {
      const path = join(folder, `${channel}.jsonl.gz`);
      return existsSync(path) ? (lines(path) as TapeEntry[]) : [];
    },
  };
}

function lines(path: string): unknown[] {
  return gunzipSync(readFileSync(path))
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);
}

/** A database without a single table, on the PostgreSQL of the run. */
export async function emptyDatabase(): Promise<string> {
  const server = inject('testPostgres');
  const name = `walk_${randomUUID().replaceAll('-', '')}`;
  await withClient(socketUrl(server, server.adminDatabase), (client) =>
    client.query(`create database ${name} template template0`),
  );
  return socketUrl(server, name);
}

/** As they were: what the database derives (the chain of the audit log) is not derived again. */
export async function insertRows(databaseUrl: string, rows: readonly Row[]): Promise<void> {
  await withClient(databaseUrl, async (client) => {
    for (const { name, columns, hasTriggers } of await tablesOf(client)) {
      const of = rows.filter(({ table }) => name === `public.${table}` || name === `public."${table}"`);
      if (hasTriggers) await client.query(`alter table ${name} disable trigger user`);
      // What migrations themselves put there is among the rows.
      await client.query(`delete from ${name}`);
      const list = columns.join(', ');
      await client.query(
        `insert into ${name} (${list}) overriding system value select ${list} from jsonb_populate_recordset(null::${name}, $1)`,
        [JSON.stringify(of.map(({ row }) => row))],
      );
      if (hasTriggers) await client.query(`alter table ${name} enable trigger user`);
    }
    // Numbers that the database gives go on where they were.
    await client.query(
      `select setval(pg_get_serial_sequence('events', 'id'), (select coalesce(max(id), 0) + 1 from events))`,
    );
  });
}

export function writeFiles(folder: string, files: Recorded['files']): void {
  for (const { path, base64 } of files) {
    const to = join(folder, path);
    mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
    writeFileSync(to, Buffer.from(base64, 'base64'), { mode: 0o600 });
  }
}

/** Runs from a minute after the recording ended. */
export function clockAfter({ meaning }: Recorded): ControllableClock & Disposable {
  const clock = controllableClock();
  clock.jumpWallClock(meaning.recordedAtMs + 60_000 - clock.nowMs());
  return clock;
}
