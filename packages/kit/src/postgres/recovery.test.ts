import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../clock.ts';
import { silentLog } from '../log.ts';
import { findPostgresBinaries } from './postgres-binaries.ts';
import {
  connect,
  createFixture,
  type PostgresFixture,
  query,
  spawnOwner,
  startInOtherProcess,
  until,
} from './postgres-fixture.ts';
import { PostgresStartError } from './postgres-start-error.ts';
import { isAlive, lookAtProcess } from './process-sight.ts';
import { chooseRunAs } from './run-as.ts';
import { startPostgres } from './start-postgres.ts';

let fixture: PostgresFixture;
let base: string;
let dataDir: string;
beforeAll(async () => {
  fixture = await createFixture();
  ({ base, dataDir } = fixture);
});
afterAll(() => fixture[Symbol.asyncDispose]());

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
    const owner = await startInOtherProcess(fixture);
    owner.process.kill('SIGKILL');
    await until(async () => (await lookAtProcess(owner.postgresPid)).state === 'absent');
    await using postgres = await startPostgres({ dataDir });
    expect(postgres.pid).not.toBe(owner.postgresPid);
  });

  test('of a start half-way, the next start begins anew', async () => {
    const half = join(base, 'half');
    const starting = spawnOwner(fixture, half);
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
    fixture.children.push(stranger);
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
    fixture.children.push(other);
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
  fixture.children.push(child);
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
