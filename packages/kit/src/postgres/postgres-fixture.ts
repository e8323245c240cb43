/** What the tests of this folder stand on: a cluster that was made once, and ways to look at and to break what runs it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { systemClock } from '../clock.ts';
import { type RunningPostgres, startPostgres } from './start-postgres.ts';

export interface PostgresFixture extends AsyncDisposable {
  /** Only its owner may enter it, as a clone in /root. */
  readonly base: string;
  /** Below it. Starting what is there takes a twentieth of making a new one. */
  readonly dataDir: string;
  /** Processes that are killed at the end, whatever the tests came to. */
  readonly children: ChildProcess[];
}

export async function createFixture(): Promise<PostgresFixture> {
  const base = await realpath(await mkdtemp(join(tmpdir(), 'pg-test-')));
  await chmod(base, 0o700);
  const dataDir = join(base, 'data');
  await using postgres = await startPostgres({ dataDir });
  await query(postgres, 'create table kept (id int primary key, word text)');
  const children: ChildProcess[] = [];
  return {
    base,
    dataDir,
    children,
    [Symbol.asyncDispose]: async () => {
      for (const child of children) child.kill('SIGKILL');
      await rm(base, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
    },
  };
}

export async function connect(postgres: RunningPostgres): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: postgres.connectionString('subcloud') });
  client.on('error', () => undefined); // the tests end PostgreSQL while clients are connected
  await client.connect();
  return client;
}

export async function query(postgres: RunningPostgres, text: string): Promise<unknown[]> {
  const client = await connect(postgres);
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

/** Looks again until it is so; the test's own time limit ends what never comes true. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await systemClock.sleep(5);
}

/** A process that starts PostgreSQL on `folder`, tells its pid on stdout, and holds on to it. */
export function spawnOwner({ children }: PostgresFixture, folder: string): ChildProcess {
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

export async function startInOtherProcess(
  fixture: PostgresFixture,
): Promise<{ process: ChildProcess; postgresPid: number }> {
  const child = spawnOwner(fixture, fixture.dataDir);
  if (child.stdout === null) throw new Error('no stdout');
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { process: child, postgresPid: Number(line) };
}
