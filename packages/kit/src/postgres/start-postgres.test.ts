import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  copyFile,
  lchown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../clock.ts';
import { type Log, silentLog } from '../log.ts';
import { ensureDatabase } from './ensure-database.ts';
import { findPostgresBinaries } from './postgres-binaries.ts';
import { PostgresStartError } from './postgres-start-error.ts';
import { isAlive, lookAtProcess } from './process-sight.ts';
import { chooseRunAs } from './run-as.ts';
import { type RunningPostgres, startPostgres } from './start-postgres.ts';

/** Below a folder that only its owner may enter, as a clone in /root is. */
let base: string;
/** A cluster that was made once; most tests start it again, which takes a twentieth of making one. */
let dataDir: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'pg-test-')));
  await chmod(base, 0o700);
  dataDir = join(base, 'data');
  await using postgres = await startPostgres({ dataDir });
  await query(postgres, 'create table kept (id int primary key, word text)');
});

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(base, { recursive: true, force: true });
});

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

describe('after a kill -9', () => {
  test('of the postmaster, the next start has every acknowledged row', async () => {
    const first = await startPostgres({ dataDir });
    await query(first, "insert into kept values (1, 'acknowledged')");
    process.kill(first.pid, 'SIGKILL');
    expect(await first.exited).toEqual({ code: null, signal: 'SIGKILL' });
    // At once, so that children of the killed one may still be there.
    await using second = await startPostgres({ dataDir });
    expect(await query(second, 'select word from kept where id = 1')).toEqual([{ word: 'acknowledged' }]);
  });

  test('of the postmaster while a session computes, the next start waits for that session to be gone', async () => {
    const first = await startPostgres({ dataDir });
    const client = await connect(first);
    const [{ pid }] = (await client.query('select pg_backend_pid() as pid')).rows as [{ pid: number }];
    // Computes for hours, and looks neither at the clock nor for its postmaster.
    const busy = client
      .query('select count(*) from generate_series(1, 1000000) a, generate_series(1, 1000000) b')
      .catch(() => undefined);
    await until(async () => {
      const active = await query(first, `select 1 from pg_stat_activity where pid = ${pid} and state = 'active'`);
      return active.length === 1;
    });
    process.kill(first.pid, 'SIGKILL');
    await first.exited;
    expect(isAlive(pid)).toBe(true);
    await using second = await startPostgres({ dataDir, stopLimits: { fastMs: 5_000, immediateMs: 300 } });
    expect((await lookAtProcess(pid)).state).toBe('absent');
    await query(second, 'select 1');
    await busy;
  });

  test('of the process that owns it, PostgreSQL ends by itself and the folder is free', async () => {
    const owner = await startInOtherProcess(dataDir);
    owner.process.kill('SIGKILL');
    await until(async () => (await lookAtProcess(owner.postgresPid)).state === 'absent');
    await using postgres = await startPostgres({ dataDir });
    expect(postgres.pid).not.toBe(owner.postgresPid);
  });

  test('of a start half-way, the next start begins anew', async () => {
    const half = join(base, 'half');
    const starting = spawnOwner(half);
    await until(async () => (await readdir(half).catch(() => [])).some((name) => name.startsWith('cluster.new-')));
    starting.kill('SIGKILL');
    await once(starting, 'exit');
    await using postgres = await startPostgres({ dataDir: half });
    expect(await query(postgres, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect((await readdir(half)).sort()).toEqual(['cluster', 'owner.json', 'socket']);
  });
});

describe('a PostgreSQL that outlived its owner', () => {
  test('is stopped, and ours is started', async () => {
    const orphan = await startOrphan();
    await using postgres = await startPostgres({ dataDir });
    expect(postgres.pid).not.toBe(orphan.pid);
    expect(orphan.exitCode).toBe(0); // an orderly stop, not a kill
    await query(postgres, 'select 1');
  });

  test('is stopped without a checkpoint when sessions hold up the orderly way', async () => {
    const orphan = await startOrphan();
    process.kill(Number(orphan.pid), 'SIGSTOP');
    try {
      const stopping = startPostgres({ dataDir, stopLimits: { fastMs: 100, immediateMs: 5_000 } });
      await systemClock.sleep(300);
      process.kill(Number(orphan.pid), 'SIGCONT');
      await using postgres = await stopping;
      await query(postgres, 'select 1');
    } finally {
      orphan.kill('SIGKILL');
    }
  });
});

describe('a pid file', () => {
  const pidFile = () => join(dataDir, 'cluster', 'postmaster.pid');

  test('whose pid was given to another process is ignored, and that process is left alone', async () => {
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
    children.push(stranger);
    await writeFile(pidFile(), pidFileText(stranger.pid));
    await using postgres = await startPostgres({ dataDir });
    await query(postgres, 'select 1');
    expect(isAlive(Number(stranger.pid))).toBe(true);
  });

  test.each(['', 'garbage\n', '-1\n', '0\n', '1\n'])('that says %j names nobody', async (text) => {
    await writeFile(pidFile(), text);
    await using postgres = await startPostgres({ dataDir });
    await query(postgres, 'select 1');
  });

  test('of something that may be another PostgreSQL is a refusal that disturbs nothing', async () => {
    // A program of that name which works in the cluster and is not ours.
    const program = join(base, 'postgres');
    await copyFile('/bin/sleep', program);
    await chmod(program, 0o755);
    const other = spawn(program, ['60'], { stdio: 'ignore', cwd: join(dataDir, 'cluster') });
    children.push(other);
    await once(other, 'spawn');
    await writeFile(pidFile(), pidFileText(other.pid));
    const refused = await startPostgres({ dataDir }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(PostgresStartError);
    expect(refused).toMatchObject({ fault: 'config.postgres_in_use' });
    expect(String(refused)).toContain(`process ${other.pid}`);
    expect(isAlive(Number(other.pid))).toBe(true);
    expect(await readFile(pidFile(), 'utf8')).toBe(pidFileText(other.pid));
    other.kill();
    await once(other, 'exit');
    await using postgres = await startPostgres({ dataDir });
    await query(postgres, 'select 1');
  });
});

describe('a second start on the same folder', () => {
  test('in this process is refused, and the first runs on', async () => {
    await using first = await startPostgres({ dataDir });
    await expect(startPostgres({ dataDir })).rejects.toMatchObject({ fault: 'config.postgres_in_use' });
    expect(await query(first, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test("in another process is refused by the first one's pid, and the first runs on", async () => {
    const first = await startInOtherProcess(dataDir);
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

// -- what the tests stand on ------------------------------------------------------------------------------------------

async function connect(postgres: RunningPostgres): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: postgres.connectionString('subcloud') });
  client.on('error', () => undefined); // the tests end PostgreSQL while clients are connected
  await client.connect();
  return client;
}

async function query(postgres: RunningPostgres, text: string): Promise<unknown[]> {
  const client = await connect(postgres);
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

/** Looks again until it is so; the test's own time limit ends what never comes true. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await systemClock.sleep(5);
}

function spawnOwner(folder: string): ChildProcess {
  const module = fileURLToPath(new URL('./start-postgres.ts', import.meta.url));
  const program = `
    const { startPostgres } = await import(${JSON.stringify(module)});
    const postgres = await startPostgres({ dataDir: ${JSON.stringify(folder)} });
    process.stdout.write(postgres.pid + '\\n');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  return child;
}

async function startInOtherProcess(folder: string): Promise<{ process: ChildProcess; postgresPid: number }> {
  const child = spawnOwner(folder);
  if (child.stdout === null) throw new Error('no stdout');
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { process: child, postgresPid: Number(line) };
}

/** A postmaster on our folder that nobody owns, as one looks whose owner died where the kernel sends no death signal. */
async function startOrphan(): Promise<ChildProcess> {
  const binaries = await findPostgresBinaries();
  const clusterDir = join(dataDir, 'cluster');
  const runAs = await chooseRunAs({ binaries, dataDir, clusterDir, log: silentLog });
  const deathSignalAt = runAs.prefix.indexOf('setpriv');
  const prefix = deathSignalAt < 0 ? runAs.prefix : runAs.prefix.slice(0, deathSignalAt);
  const [command, ...args] = [...prefix, binaries.postgres, '-D', clusterDir, '-c', 'listen_addresses='];
  await mkdir(join(dataDir, 'socket'), { recursive: true, mode: 0o700 });
  const socketSetting = `unix_socket_directories="${join(dataDir, 'socket')}"`;
  const child = spawn(command, [...args, '-c', socketSetting], { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  children.push(child);
  if (child.stderr === null) throw new Error('no stderr');
  const lines = createInterface({ input: child.stderr });
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      if (line.includes('ready to accept connections')) resolve();
    });
    child.once('exit', () => reject(new Error('the orphan did not start')));
  });
  return child;
}

function pidFileText(pid: number | undefined): string {
  const lines = [
    pid,
    join(dataDir, 'cluster'),
    1_700_000_000,
    5432,
    join(dataDir, 'socket'),
    '',
    '  5432001    196608',
    'ready   ',
  ];
  return `${lines.join('\n')}\n`;
}

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
