/** The whole network, each part in a process of its own: PostgreSQL, control, two gateways, and one agent linked to both. */
import { request as secureRequest } from 'node:https';
import { type IncomingMessage, request } from 'node:http';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { migrate } from '@subcloud/control/store/migrate';
import { ensureDatabase } from '@subcloud/kit/postgres/ensure-database';
import { startPostgres } from '@subcloud/kit/postgres/start-postgres';
import { systemClock } from '@subcloud/kit/clock';
import { makeTlsCertificate } from '@subcloud/kit/tls-certificate';
import { createClient } from '@subcloud/sdk/client';
import { NODE_FLAGS } from '../../packages/cli/src/up/core-parts.ts';
import { writeFileSync } from 'node:fs';
import { type Started, freePort, start } from './processes.ts';

const CONTROL = fileURLToPath(new URL('../../packages/control/src/main.ts', import.meta.url));
const AGENT = fileURLToPath(new URL('../../packages/agent/src/main.ts', import.meta.url));
const GATEWAY = fileURLToPath(new URL('./gateway-process.ts', import.meta.url));
const READY_MS = 60_000;

export interface Network {
  readonly key: string;
  readonly plain: { readonly url: string; readonly pid: number };
  /** Its link is TLS; callers come by a plain door. */
  readonly tls: { readonly url: string; readonly pid: number };
  readonly controlPid: number;
  /** Of its sockets. */
  readonly controlDir: string;
  readonly postgresDir: string;
  stop(): Promise<void>;
}

export interface NetworkOptions {
  readonly folder: string;
  readonly engines: readonly string[];
  /** For profiles: passed to the node of the plain gateway. */
  readonly gatewayArguments: readonly string[];
  /** Of the plain gateway. */
  readonly gatewayEnv?: Readonly<Record<string, string>>;
}

export async function startNetwork(options: NetworkOptions): Promise<Network> {
  const { folder, engines, gatewayArguments, gatewayEnv = {} } = options;
  const postgresDir = join(folder, 'postgres');
  const postgres = await startPostgres({ dataDir: postgresDir });
  await ensureDatabase(postgres.connectionString('postgres'), 'subcloud');
  const databaseUrl = postgres.connectionString('subcloud');
  await migrate(databaseUrl);
  const dataDir = join(folder, 'control');
  const quiet = { SUBCLOUD_LOG_LEVEL: 'error' };
  const control = await start({
    command: process.execPath,
    arguments: [CONTROL],
    env: { ...quiet, SUBCLOUD_DATA_DIR: dataDir, SUBCLOUD_DATABASE_URL: databaseUrl },
    ready: 'first line',
  });
  const controlDir = join(dataDir, 'run');
  const startGateway = (name: string, more: Readonly<Record<string, string>>, nodeArguments: readonly string[] = []) =>
    start({
      command: process.execPath,
      // As `subcloud up` and `subcloud serve gateway` start it.
      arguments: [...NODE_FLAGS.gateway, ...nodeArguments, GATEWAY],
      cwd: folder,
      env: {
        ...quiet,
        SUBCLOUD_DATA_DIR: join(folder, name),
        SUBCLOUD_CONTROL_DIR: controlDir,
        SUBCLOUD_PORT: '0',
        ...more,
      },
      ready: 'first line',
    });
  const plain = await startGateway('plain', gatewayEnv, gatewayArguments);
  const doorPort = await freePort();
  const tls = await startGateway('tls', { ...tlsFiles(folder), BENCH_DOOR_PORT: String(doorPort) });
  await Promise.all([plain, tls].map(isReady));
  const credentials = JSON.parse(readFileSync(join(dataDir, 'credentials.json'), 'utf8')) as Credentials;
  await startAgent({ folder, engines, url: urlOf(plain), adminToken: credentials.adminToken });
  return {
    key: credentials.apiKey,
    plain: { url: urlOf(plain), pid: plain.pid },
    tls: { url: `http://127.0.0.1:${doorPort}`, pid: tls.pid },
    controlPid: control.pid,
    controlDir,
    postgresDir,
    stop: () => postgres.stop(),
  };
}

interface Credentials {
  readonly adminToken: string;
  readonly apiKey: string;
}

async function startAgent(options: {
  readonly folder: string;
  readonly engines: readonly string[];
  readonly url: string;
  readonly adminToken: string;
}): Promise<void> {
  const { url, engines, folder } = options;
  const admin = createClient({ url, credential: options.adminToken });
  await admin.call('putPlaces', { body: { places: [{ cidr: '127.0.0.0/8', country: 'DE' }] } });
  const { joinToken } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
  await admin.close();
  await start({
    command: process.execPath,
    arguments: [AGENT],
    env: {
      SUBCLOUD_LOG_LEVEL: 'error',
      SUBCLOUD_URL: url,
      SUBCLOUD_JOIN_TOKEN: joinToken,
      SUBCLOUD_DATA_DIR: join(folder, 'agent'),
      SUBCLOUD_ENGINES: engines.join(','),
      SUBCLOUD_HARDWARE: 'none',
    },
    ready: 'first line',
  });
}

function tlsFiles(folder: string): Readonly<Record<string, string>> {
  const { certificate, privateKey } = makeTlsCertificate(['localhost', '127.0.0.1'], systemClock.nowMs());
  const paths = { SUBCLOUD_TLS_CERTIFICATE: join(folder, 'tls.pem'), SUBCLOUD_TLS_KEY: join(folder, 'tls.key') };
  writeFileSync(paths.SUBCLOUD_TLS_CERTIFICATE, certificate);
  writeFileSync(paths.SUBCLOUD_TLS_KEY, privateKey, { mode: 0o600 });
  return paths;
}

function urlOf({ line }: Started): string {
  return (JSON.parse(line) as { readonly url: string }).url;
}

async function isReady(gateway: Started): Promise<void> {
  const url = `${urlOf(gateway)}/readyz`;
  const untilMs = performance.now() + READY_MS;
  while ((await statusOf(url)) !== 200) {
    if (performance.now() > untilMs) throw new Error(`${url} does not say that it is ready`);
    await sleep(100);
  }
}

function statusOf(url: string): Promise<number> {
  return new Promise((resolve) => {
    const onAnswer = (answer: IncomingMessage): void => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    };
    // Its certificate is its own; nothing is said to it.
    const asking = url.startsWith('https:')
      ? secureRequest(url, { rejectUnauthorized: false, agent: false }, onAnswer)
      : request(url, { agent: false }, onAnswer);
    asking.on('error', () => resolve(0));
    asking.end();
  });
}
