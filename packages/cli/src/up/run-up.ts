/**
 * `subcloud up`: the whole network from one command and one folder. Its parts are processes of their own that are started
 * in order, each kept running, and stopped in an order that lets callers' answers finish.
 *
 * - stdout says one thing, once, when the network answers.
 * - One process runs a data folder; whatever was killed is repaired, by this process or by the next start.
 * - Children notice the end of their channel when this process is killed, and end by themselves.
 */
import { chmodSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { writeFileDurably } from '@subcloud/kit/files';
import { createChatClient } from '@subcloud/sdk/chat';
import { createClient } from '@subcloud/sdk/client';
import { isGatewayReady } from '@subcloud/sdk/readiness';
import type { TransportOptions } from '@subcloud/sdk/transport';
import { CliError } from '../cli-error.ts';
import type { CliHost } from '../cli-host.ts';
import { type LocalCredentials, type UpState, localCredentialsIn, stateFile } from '../find-network.ts';
import type { Output } from '../output.ts';
import { type PartsContext, agentFileIn, controlPart, databasePart, gatewayWorkers } from './core-parts.ts';
import { lockData } from './data-lock.ts';
import { decideDemo, demoAgentPart, demoAnswers, demoEnginePart, engineUrl } from './demo.ts';
import { findDemoEngine } from './find-demo-engine.ts';
import { type GatewayReady, firstOwnPort } from './gateway-workers.ts';
import { type KeepOptions, type KeptRunning, type Part, type Running, keepRunning } from './keep-running.ts';
import { checkPort } from './port-check.ts';
import { DEMO_MODEL, type ReadyNews, readyPage } from './ready-page.ts';
import { type StopRequest, listenForStop } from './stop-request.ts';
import { createUpLogs } from './up-log.ts';
import type { UpConfig } from './up-options.ts';

const GATEWAY_READY_LIMIT_MS = 30_000;
const GATEWAY_POLL_MS = 50;
const DEMO_ANSWER_LIMIT_MS = 60_000;
const JOIN_TOKEN_VALID_S = 86_400;
const FORCED_EXIT_CODE = 130;

/** Callers first: the gateway lets answers finish while engine and agent still run, and what it counts still finds control. */
const STOP_ORDER = ['gateway', 'demo-agent', 'demo-engine', 'control', 'postgres'] as const;
type PartName = (typeof STOP_ORDER)[number];

/** Runs until it is asked to stop. Throws CliError when the network cannot be started; then nothing of it runs. */
export async function runUp(host: CliHost, output: Output, config: UpConfig): Promise<void> {
  const dataDir = prepareDataDir(config.data);
  const lock = await lockData(dataDir);
  const { clock } = host;
  const logs = createUpLogs({
    folder: join(dataDir, 'logs'),
    level: config.logLevel,
    tell: (line) => output.progress(line),
    clock,
  });
  const network = new Network({ config, dataDir, env: host.env, clock, logs }, host);
  const stop = listenForStop(host, clock, () => {
    output.progress('Stopping at once.');
    network.kill();
    host.endNow(FORCED_EXIT_CODE);
  });
  try {
    if (config.behindProxy !== undefined && config.publicUrl === undefined) {
      throw new CliError({
        code: 'config.public_url_missing',
        message: 'Behind a proxy the network is reached by another address than it listens on.',
        next: 'Give it with --public-url https://NAME.',
      });
    }
    const port = await checkPort(config.host, config.port);
    const news = await network.start(reachable(config, port), stop, output);
    output.result({ url: news.url, apiKey: news.apiKey, adminToken: news.adminToken, docs: `${news.url}/docs` }, () =>
      readyPage(news),
    );
    await stop.asked();
    output.progress('Draining; Ctrl-C again stops at once.');
  } catch (error) {
    // Calling the start off is no failure of it.
    if (!stop.signal.aborted) throw error;
  } finally {
    await network.stop();
    rmSync(stateFile(dataDir), { force: true });
    stop.dispose();
    logs.close();
    await lock.release();
  }
}

type StartedNews = ReadyNews & { readonly adminToken: string };

/** The parts that run, and how they depend on each other. */
class Network {
  #context: PartsContext;
  readonly #host: CliHost;
  readonly #parts = new Map<PartName, Pick<KeptRunning<Running>, 'stop' | 'kill'>>();

  constructor(context: PartsContext, host: CliHost) {
    this.#context = context;
    this.#host = host;
  }

  async start(config: UpConfig, stop: StopRequest, output: Output): Promise<StartedNews> {
    const { dataDir, clock } = this.#context;
    this.#context = { ...this.#context, config };
    const startedAtMs = clock.monotonicMs();
    const bundled = this.#bundleAgent();
    const databaseUrl = await this.#startDatabase(stop);
    await this.#keep('control', controlPart(this.#context, databaseUrl), stop);
    const credentials = credentialsIn(dataDir);
    const workers = await this.#startGateway(stop);
    const [gateway] = workers;
    const trustedKeySha256 = gateway.tlsKeySha256 ?? undefined;
    const local = { url: localUrl(gateway, config.host), trustedKeySha256 };
    for (const worker of workers) {
      const url = localUrl({ ...worker, port: worker.ownPort ?? worker.port }, config.host);
      await this.#gatewayTakesRequests({ url, trustedKeySha256 }, stop.signal);
    }

    // Behind a proxy the port may take this machine for the proxy, and asks it for another's address.
    const socketPath = config.behindProxy === undefined ? undefined : join(dataDir, 'run', 'api.sock');
    const way = socketPath === undefined ? local : { url: 'http://localhost', socketPath };
    const admin = createClient({ ...way, credential: credentials.adminToken });
    try {
      const { joinToken } = await admin.call('createJoinToken', {
        body: { operator: credentials.principal, expiresInS: JOIN_TOKEN_VALID_S },
      });
      const decision = await decideDemo(admin, this.#context);
      const demo = decision.run
        ? await this.#startDemo({ ...local, joinToken, apiKey: credentials.apiKey }, stop, output)
        : { absent: decision.why };
      const url = config.publicUrl ?? (workers.length === 1 ? gateway.url : local.url);
      // What is shown at the public address of a proxy may be the proxy's own certificate.
      const shown = config.behindProxy === undefined ? gateway.tlsKeySha256 : null;
      const own = this.#context.config.databaseUrl === undefined ? { databaseUrl: databaseUrl() } : {};
      const state: UpState = { pid: process.pid, url, tlsKeySha256: shown, ...own };
      writeFileDurably(stateFile(dataDir), `${JSON.stringify(state)}\n`);
      const { apiKey, adminToken } = credentials;
      const agentSha256 = await bundled;
      const tookMs = clock.monotonicMs() - startedAtMs;
      this.#context.logs.log('up').info({ url, demo, tookMs: Math.round(tookMs) }, 'the network is ready');
      const { tlsKeySha256 } = gateway;
      return { url, apiKey, adminToken, dataDir, joinToken, tlsKeySha256, agentSha256, demo, tookMs };
    } finally {
      await admin.close();
    }
  }

  /** Drains and stops what runs, one after the other. */
  async stop(): Promise<void> {
    await this.#stopParts(STOP_ORDER);
  }

  kill(): void {
    for (const part of this.#parts.values()) part.kill();
  }

  async #stopParts(names: readonly PartName[]): Promise<void> {
    for (const name of names) {
      await this.#parts.get(name)?.stop();
      this.#parts.delete(name);
    }
  }

  async #keep<Life extends Running>(name: PartName, part: Part<Life>, stop: StopRequest): Promise<KeptRunning<Life>> {
    const kept = await keepRunning(part, this.#keeping(stop));
    this.#parts.set(name, kept);
    return kept;
  }

  #keeping({ signal }: StopRequest): KeepOptions {
    const { clock, random } = this.#host;
    return { clock, random, log: this.#context.logs.log('up'), signal };
  }

  /** The hash of the agent's file; null, and said in the log, where it could not be made: the network runs without it. */
  async #bundleAgent(): Promise<string | null> {
    try {
      const { bundleAgent } = await import('../agent-file/bundle-agent.ts');
      return (await bundleAgent(agentFileIn(this.#context.dataDir))).sha256;
    } catch (error) {
      this.#context.logs.log('up').warn({ error }, 'machines can only join from a clone of the project');
      return null;
    }
  }

  async #startDatabase(stop: StopRequest): Promise<() => string> {
    const { databaseUrl } = this.#context.config;
    if (databaseUrl !== undefined) return () => databaseUrl;
    const database = await this.#keep('postgres', databasePart(this.#context), stop);
    return () => database.life.url;
  }

  async #startGateway(stop: StopRequest): Promise<readonly [GatewayReady, ...GatewayReady[]]> {
    const workers = await gatewayWorkers(this.#context, this.#keeping(stop));
    this.#parts.set('gateway', workers);
    return workers.ready;
  }

  async #gatewayTakesRequests(gateway: TransportOptions, signal: AbortSignal): Promise<void> {
    const { clock } = this.#host;
    const untilMs = clock.monotonicMs() + GATEWAY_READY_LIMIT_MS;
    while (!(await isGatewayReady(gateway))) {
      if (clock.monotonicMs() >= untilMs) {
        throw new CliError({
          code: 'platform.gateway_not_ready',
          message: `The gateway listens, but was not ready within ${GATEWAY_READY_LIMIT_MS} ms.`,
          next: `Look at ${this.#context.logs.file('gateway')} and ${this.#context.logs.file('control')}.`,
        });
      }
      await clock.sleep(GATEWAY_POLL_MS, signal);
    }
  }

  /** A demo that cannot be started is said, and no reason not to start the network. */
  async #startDemo(
    network: {
      readonly url: string;
      readonly trustedKeySha256: string | undefined;
      readonly joinToken: string;
      readonly apiKey: string;
    },
    stop: StopRequest,
    output: Output,
  ): Promise<ReadyNews['demo']> {
    const { url, trustedKeySha256, joinToken, apiKey } = network;
    const chat = createChatClient({ url, trustedKeySha256, credential: apiKey });
    try {
      const entry = await findDemoEngine({ signal: stop.signal, tell: (line) => output.progress(line) });
      const engine = await this.#keep('demo-engine', demoEnginePart(this.#context, entry), stop);
      const settings = { url, joinToken, engineUrl: engineUrl(engine.life) };
      await this.#keep('demo-agent', demoAgentPart(this.#context, settings), stop);
      await demoAnswers(chat, { clock: this.#host.clock, limitMs: DEMO_ANSWER_LIMIT_MS, signal: stop.signal });
      return { model: DEMO_MODEL };
    } catch (error) {
      if (stop.signal.aborted) throw error;
      await this.#stopParts(['demo-agent', 'demo-engine']);
      const why = error instanceof Error ? error.message : String(error);
      this.#context.logs.log('up').warn({ error }, 'the demo is not there');
      return { absent: why };
    } finally {
      await chat.close();
    }
  }
}

/**
 * All addresses of a machine are none that another could dial: the first one that is not its own loopback stands in the
 * documents of nodes then, and its port must be known before the gateway makes its certificate. Workers need to know the port
 * that they share before the first of them listens.
 */
function reachable(config: UpConfig, freePort: number): UpConfig {
  const isWildcard = config.host === '0.0.0.0' || config.host === '::';
  if (!isWildcard || config.publicUrl !== undefined) {
    if (config.workers === 1) return config;
    return { ...config, port: freePort, workerPort: firstOwnPort(config.workerPort, config.port) };
  }
  const address = Object.values(networkInterfaces())
    .flatMap((found) => found ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
  const workerPort = firstOwnPort(config.workerPort, config.port);
  return { ...config, port: freePort, workerPort, publicUrl: `https://${address ?? '127.0.0.1'}:${freePort}` };
}

/** On a file system that is read-only, the recursive form says that something is missing: it is asked again for the cause. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch {
    mkdirSync(path, { mode: 0o700 });
  }
}

/** Its real path: processes and locks are recognised by it. */
function prepareDataDir(dataDir: string): string {
  try {
    makeFolder(dataDir);
    chmodSync(dataDir, 0o700);
    return realpathSync(dataDir);
  } catch (error) {
    throw new CliError({
      code: 'config.data_folder',
      message: `The data folder ${dataDir} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      next: 'Choose another with --data DIR, or give this one to the user who starts the network.',
      cause: error,
    });
  }
}

function credentialsIn(dataDir: string): LocalCredentials {
  const found = localCredentialsIn(dataDir);
  if (found !== undefined) return found;
  throw new CliError({
    code: 'config.credentials_missing',
    message: `${join(dataDir, 'credentials.json')} is not there, or not as control wrote it.`,
    next: 'Put it back from a copy (the network itself knows only hashes), or start with another data folder.',
  });
}

/** How this machine reaches the gateway, wherever it listens. */
function localUrl(gateway: GatewayReady, host: string): string {
  const { protocol } = new URL(gateway.url);
  const wildcard = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  const name = wildcard.includes(':') ? `[${wildcard}]` : wildcard;
  return `${protocol}//${name}:${gateway.port}`;
}
