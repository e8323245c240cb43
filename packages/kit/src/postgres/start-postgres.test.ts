import { once } from 'node:events';
import { lchown, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Log } from '../log.ts';
import { ensureDatabase } from './ensure-database.ts';
import { connect, createFixture, type PostgresFixture, query, startInOtherProcess, until } from './postgres-fixture.ts';
import { isAlive } from './process-sight.ts';
import { startPostgres } from './start-postgres.ts';

let fixture: PostgresFixture;
let base: string;
let dataDir: string;
beforeAll(async () => {
  fixture = await createFixture();
  ({ base, dataDir } = fixture);
});
afterAll(() => fixture[Symbol.asyncDispose]());

test('it is reachable through a socket in a private folder, and through nothing else', async () => {
  await using postgres = await startPostgres({ dataDir });
  expect(await query(postgres, 'select current_user as name, 1 as one')).toEqual([{ name: 'subcloud', one: 1 }]);
  expect(await query(postgres, 'show listen_addresses')).toEqual([{ listen_addresses: '' }]);
  expect((await stat(postgres.socketDir)).mode & 0o777).toBe(0o700);
  expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
});

test('what a service can say in SQL reaches no file and no program', async () => {
  await using postgres = await startPostgres({ dataDir });
  await expect(query(postgres, "select pg_read_file('/etc/passwd')")).rejects.toThrow(/permission denied/);
  await expect(query(postgres, "copy kept from program 'echo 1,a' csv")).rejects.toThrow(/permission denied/);
});

test('durability cannot be weakened by a file in the data folder', async () => {
  const path = join(dataDir, 'cluster', 'postgresql.auto.conf');
  const before = await readFile(path, 'utf8');
  await writeFile(path, "fsync = off\nlisten_addresses = '*'\n");
  try {
    await using postgres = await startPostgres({ dataDir });
    expect(await query(postgres, 'show fsync')).toEqual([{ fsync: 'on' }]);
    expect(await query(postgres, 'show listen_addresses')).toEqual([{ listen_addresses: '' }]);
  } finally {
    await writeFile(path, before);
  }
});

test('neither statements nor the values in their errors reach the log', async () => {
  const { log, lines } = recordingLog();
  await using postgres = await startPostgres({ dataDir, log });
  await expect(query(postgres, "select 'plum-secret'::int")).rejects.toThrow(/plum-secret/);
  await query(postgres, 'insert into kept values (700, null)');
  await expect(query(postgres, "insert into kept values (700, 'fig-secret')")).rejects.toThrow(/duplicate key/);
  await postgres.stop();
  expect(lines.length).toBeGreaterThan(0);
  expect(lines.join('\n')).not.toMatch(/secret|insert|700/);
});

test('text is ordered by bytes and folded by Unicode, whatever language the machine speaks', async () => {
  await using postgres = await startPostgres({ dataDir });
  expect(await query(postgres, "select 'Z' < 'a' as bytes, upper('é') as folded")).toEqual([
    { bytes: true, folded: 'É' },
  ]);
});

describe('a second start on the same folder', () => {
  test('in this process is refused, and the first runs on', async () => {
    await using first = await startPostgres({ dataDir });
    await expect(startPostgres({ dataDir })).rejects.toMatchObject({ fault: 'config.postgres_in_use' });
    expect(await query(first, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test("in another process is refused by the first one's pid, and the first runs on", async () => {
    const first = await startInOtherProcess(fixture);
    const refused = await startPostgres({ dataDir }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ fault: 'config.postgres_in_use' });
    expect(String(refused)).toContain(`process ${first.process.pid}`);
    expect(isAlive(first.postgresPid)).toBe(true);
    first.process.kill('SIGKILL');
    await once(first.process, 'exit');
  });

  test('of two at one moment, exactly one runs', async () => {
    const both = await Promise.allSettled([startPostgres({ dataDir }), startPostgres({ dataDir })]);
    const running = both.filter((result) => result.status === 'fulfilled');
    expect(running).toHaveLength(1);
    for (const { value } of running) await value.stop();
  });
});

describe('a start that fails', () => {
  test('says what PostgreSQL said last, and leaves the folder free', async () => {
    const refused = await startPostgres({ dataDir, settings: { shared_buffers: 'plenty' } }).catch(
      (error: unknown) => error,
    );
    expect(refused).toMatchObject({ name: 'PostgresStartError', fault: 'platform.postgres_failed' });
    expect(String(refused)).toContain('shared_buffers');
    await using postgres = await startPostgres({ dataDir });
    await query(postgres, 'select 1');
  });

  test('because it was called off leaves nothing running and the folder free', async () => {
    const folder = join(base, 'aborted');
    const abort = new AbortController();
    const starting = startPostgres({ dataDir: folder, signal: abort.signal });
    const outcome = starting.catch((error: unknown) => error);
    await until(async () => (await readdir(folder).catch(() => [])).some((name) => name.startsWith('cluster.new-')));
    abort.abort();
    expect(await outcome).toMatchObject({ fault: 'client.postgres_start_aborted' });
    expect(await readdir(folder)).not.toContain('owner.json');
  });

  test('because another release made the folder names both versions', async () => {
    const folder = join(base, 'older');
    await mkdir(join(folder, 'cluster'), { recursive: true });
    await writeFile(join(folder, 'cluster', 'PG_VERSION'), '15\n');
    const refused = await startPostgres({ dataDir: folder }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ fault: 'config.postgres_folder' });
    expect(String(refused)).toMatch(/PostgreSQL 15.*PostgreSQL 18/);
  });

  test('because the folder holds something else leaves that untouched', async () => {
    const folder = join(base, 'foreign');
    await mkdir(join(folder, 'cluster'), { recursive: true });
    await writeFile(join(folder, 'cluster', 'letter.txt'), 'dear friend');
    await expect(startPostgres({ dataDir: folder })).rejects.toMatchObject({ fault: 'config.postgres_folder' });
    expect(await readdir(join(folder, 'cluster'))).toEqual(['letter.txt']);
  });
});

test('a folder whose path is too long for a socket, and full of odd characters, works', async () => {
  const folder = join(base, `it's a, "long" %2F path \\ ${'x'.repeat(90)}`);
  const postgres = await startPostgres({ dataDir: folder, settings: { fsync: 'off' } });
  expect(postgres.socketDir.startsWith(tmpdir())).toBe(true);
  expect((await stat(postgres.socketDir)).mode & 0o777).toBe(0o700);
  expect(await query(postgres, 'select 1 as one')).toEqual([{ one: 1 }]);
  await postgres.stop();
  await expect(stat(postgres.socketDir)).rejects.toThrow('ENOENT');
});

test('stopping ends sessions, may be asked twice, and frees the folder', async () => {
  const postgres = await startPostgres({ dataDir });
  const client = await connect(postgres);
  const ended = new Promise<void>((resolve) => void client.once('end', () => resolve()));
  await Promise.all([postgres.stop(), postgres.stop()]);
  await ended;
  expect(await postgres.exited).toEqual({ code: 0, signal: null });
  expect((await readdir(dataDir)).sort()).toEqual(['cluster']);
});

test('a database is made once, also when several ask for it at the same time', async () => {
  await using postgres = await startPostgres({ dataDir });
  const admin = postgres.connectionString('subcloud');
  await Promise.all([1, 2, 3].map(() => ensureDatabase(admin, 'Odd "name"')));
  await ensureDatabase(admin, 'Odd "name"');
  const client = new pg.Client({ connectionString: postgres.connectionString('Odd "name"') });
  await client.connect();
  expect((await client.query('select current_database() as name')).rows).toEqual([{ name: 'Odd "name"' }]);
  await client.end();
});

test.runIf(process.getuid?.() === 0)(
  "root runs an ordinary user's database as that user, also below a folder that only root may enter",
  async () => {
    const folder = join(base, 'users');
    await (await startPostgres({ dataDir: folder, settings: { fsync: 'off' } })).stop();
    const { uid, gid } = { uid: 1, gid: 1 };
    await chownAll(folder, uid, gid);
    await using postgres = await startPostgres({ dataDir: folder });
    expect((await stat(`/proc/${postgres.pid}`)).uid).toBe(uid);
    await query(postgres, 'create table theirs ()');
    expect((await stat(join(folder, 'cluster', 'postmaster.pid'))).uid).toBe(uid);
  },
);

function recordingLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const record = (...words: unknown[]) => void lines.push(JSON.stringify(words));
  const log = {
    trace: record,
    debug: record,
    info: record,
    warn: record,
    error: record,
    child: () => log,
  } as unknown as Log;
  return { log, lines };
}

async function chownAll(folder: string, uid: number, gid: number): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true })) await lchown(join(folder, entry), uid, gid);
  await lchown(folder, uid, gid);
}
