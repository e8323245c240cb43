/**
 * The whole network in one process: real control on a real database, a real gateway, real agents over real links, and
 * scripted engines behind them. Time runs by itself and can be moved ahead.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningAgent, type Served, agentOptions, runAgent } from '@subcloud/agent/run';
import { type RunningControl, controlOptions, runControl } from '@subcloud/control/run';
import { type GatewayRunOptions, type RunningGateway, gatewayOptions, runGateway } from '@subcloud/gateway/run';
import { systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { type Log, silentLog } from '@subcloud/kit/log';
import { type Client, createClient } from '@subcloud/sdk/client';
import { type ControllableClock, controllableClock } from './controllable-clock.ts';
import { eventually } from './eventually.ts';
import { type EngineAnswers, type ScriptedEngine, startScriptedEngine } from './scripted-engine.ts';
import { startSlowWatch } from './slow-watch.ts';
import { testDatabase } from './test-database.ts';

export interface TestNode extends AsyncDisposable {
  readonly id: string;
  readonly name: string;
  readonly address: string;
  readonly engine: ScriptedEngine;
  /** What the agent itself says that it served or refused. */
  readonly served: readonly Served[];
  /** Undefined while stopped. */
  agent(): RunningAgent | undefined;
  stop(): Promise<void>;
  /** Starts the agent again, with its own key and state; from another address if one is given. */
  start(address?: string): Promise<void>;
}

export interface NodeOptions {
  readonly name: string;
  readonly operator?: `user:${string}` | `org:${string}` | `team:${string}`;
  readonly models?: readonly string[];
  /** What agent.yaml says of its engine besides the address. */
  readonly engine?: object;
  /** Internal APIs that it hosts. */
  readonly apis?: readonly { readonly name: string; readonly url: string }[];
  /** What its engine answers about itself; recorded-engines.ts has each make. */
  readonly answers?: EngineAnswers;
  /** Loopback address to dial from; its place is in the map that the network was given. */
  readonly address?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly consent?: object;
  readonly concurrency?: number;
  /** Default: one is made for the operator. */
  readonly joinToken?: string;
}

export interface TestNetwork extends AsyncDisposable {
  readonly url: string;
  readonly clock: ControllableClock;
  readonly dataDir: string;
  readonly databaseUrl: string;
  /** With the admin token. */
  readonly admin: Client;
  /** Of the first account, `user:admin`. */
  readonly apiKey: string;
  readonly gateway: RunningGateway;
  readonly control: RunningControl;
  client(credential: string): Client;
  /** Makes a principal and returns a key of it. */
  principal(id: `user:${string}` | `org:${string}` | `team:${string}`): Promise<string>;
  apply(manifest: object): ReturnType<Client['call']>;
  node(options: NodeOptions): Promise<TestNode>;
  /** Resolves when the node is an active member of the pool and gateways may route to it. */
  serving(pool: string, node: TestNode): Promise<void>;
  restartControl(): Promise<void>;
  stopControl(): Promise<void>;
}

export interface TestNetworkOptions {
  /** The admin's map; default: 127.0.N.0/24 by N for some countries, see PLACES. */
  readonly places?: readonly { cidr: string; country: string; subdivision?: string }[];
  readonly log?: Log;
  readonly observe?: GatewayRunOptions['observe'];
  /** Further options of control. */
  readonly control?: Readonly<Record<string, unknown>>;
  /** Further options of the gateway. */
  readonly gateway?: Readonly<Record<string, unknown>>;
  /** Of OpenTelemetry's variables, for control, gateway and agents; default: nothing is traced. */
  readonly traceEnv?: GatewayRunOptions['traceEnv'];
  /** Between control and gateway, each way; default: none. */
  readonly watchDelayMs?: number;
}

/** Where tests say their loopback addresses are. */
export const PLACES = [
  { cidr: '127.0.1.0/24', country: 'DE', subdivision: 'DE-BE' },
  { cidr: '127.0.2.0/24', country: 'FR' },
  { cidr: '127.0.3.0/24', country: 'US' },
  { cidr: '127.0.4.0/24', country: 'SG' },
  { cidr: '127.0.5.0/24', country: 'HU' },
] as const;

export async function startTestNetwork(options: TestNetworkOptions = {}): Promise<TestNetwork> {
  const { log = silentLog } = options;
  const clock = controllableClock();
  const dataDir = mkdtempSync(join(tmpdir(), 'subcloud-test-'));
  const database = await testDatabase();
  const shared = { clock, random: systemRandom, log, traceEnv: options.traceEnv };
  const controlConfig = loadConfig(controlOptions, {
    flags: { ...options.control, dataDir, databaseUrl: database.connectionString },
  });
  let control = await runControl({ ...shared, config: controlConfig });
  const delayMs = options.watchDelayMs ?? 0;
  const run = join(dataDir, 'run');
  const slow = { folder: join(dataDir, 'slow'), controlDir: run, delayMs };
  const watch = delayMs === 0 ? undefined : await startSlowWatch(slow);
  const controlDir = watch === undefined ? run : slow.folder;
  const gateway = await runGateway({
    ...shared,
    config: loadConfig(gatewayOptions, {
      flags: { ...options.gateway, dataDir: join(dataDir, 'gateway'), controlDir, port: 0 },
    }),
    ...(options.observe === undefined ? {} : { observe: options.observe }),
  });
  await eventually('the gateway has a table', () => gateway.ready());
  const credentials = JSON.parse(readFileSync(join(dataDir, 'credentials.json'), 'utf8')) as {
    adminToken: string;
    apiKey: string;
  };
  const clients: Client[] = [];
  const client = (credential: string): Client => {
    const made = createClient({ url: gateway.url, credential });
    clients.push(made);
    return made;
  };
  const admin = client(credentials.adminToken);
  await admin.call('putPlaces', { body: { places: [...(options.places ?? PLACES)] } });
  const nodes: TestNode[] = [];
  const known = new Set<string>(['user:admin']);

  const principal: TestNetwork['principal'] = async (id) => {
    if (!known.has(id)) await admin.call('createPrincipal', { body: { id } });
    known.add(id);
    return (await admin.call('createKey', { body: { principal: id } })).key;
  };

  const network: TestNetwork = {
    url: gateway.url,
    clock,
    dataDir,
    databaseUrl: database.connectionString,
    admin,
    apiKey: credentials.apiKey,
    gateway,
    get control() {
      return control;
    },
    client,
    principal,
    apply: (manifest) => {
      const { name } = (manifest as { metadata: { name: string } }).metadata;
      return admin.call('applySubcloud', { params: { name }, body: { manifest: JSON.stringify(manifest) } });
    },
    async node(node) {
      const operator = node.operator ?? 'user:admin';
      if (node.joinToken === undefined && !known.has(operator)) await principal(operator);
      const joinToken = node.joinToken ?? (await admin.call('createJoinToken', { body: { operator } })).joinToken;
      const started = await startNode({
        node,
        joinToken,
        url: gateway.url,
        dataDir: join(dataDir, 'agents', node.name),
        shared,
      });
      nodes.push(started);
      return started;
    },
    serving: async (pool, node) => {
      await eventually(`${node.name} serves ${pool}`, async () => {
        const found = await admin.call('explainNode', { params: { name: pool, node: node.id } });
        if (!found.serving)
          throw new Error(`${found.state ?? 'no membership'}: ${found.reason}, online ${found.online}`);
        return true;
      });
    },
    stopControl: () => control.stop(),
    async restartControl() {
      await control.stop();
      control = await runControl({ ...shared, config: controlConfig });
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
      await Promise.all(clients.map((made) => made.close()));
      await gateway.stop();
      await watch?.[Symbol.asyncDispose]();
      await control.stop();
      await database[Symbol.asyncDispose]();
      clock[Symbol.dispose]();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
  return network;
}

async function startNode(options: {
  readonly node: NodeOptions;
  readonly joinToken: string;
  readonly url: string;
  readonly dataDir: string;
  readonly shared: {
    readonly clock: ControllableClock;
    readonly random: () => number;
    readonly log: Log;
    readonly traceEnv: GatewayRunOptions['traceEnv'];
  };
}): Promise<TestNode> {
  const { node, joinToken, url, dataDir, shared } = options;
  const engine = await startScriptedEngine({
    models: node.models ?? ['test-model'],
    name: node.name,
    ...(node.answers === undefined ? {} : { answers: node.answers }),
  });
  const served: Served[] = [];
  let address = node.address ?? '127.0.0.1';
  let running: RunningAgent | undefined;
  const start = async (from?: string): Promise<void> => {
    address = from ?? address;
    const config = loadConfig(agentOptions, {
      flags: {
        url,
        joinToken,
        dataDir,
        name: node.name,
        engines: [{ url: engine.url, ...node.engine }],
        // What the machine of the test has is nothing that its outcome may depend on.
        hardware: 'none',
        localAddress: address,
        ...(node.apis === undefined ? {} : { apis: node.apis }),
        ...(node.labels === undefined ? {} : { labels: node.labels }),
        ...(node.consent === undefined ? {} : { consent: node.consent }),
        ...(node.concurrency === undefined ? {} : { concurrency: node.concurrency }),
      },
    });
    running = await runAgent({ ...shared, config, observe: { onServe: (record) => served.push(record) } });
  };
  await start();
  const id = running?.nodeId;
  if (id === undefined) throw new Error('the agent has no id');
  const stop = async (): Promise<void> => {
    await running?.stop();
    running = undefined;
  };
  return {
    id,
    name: node.name,
    get address() {
      return address;
    },
    engine,
    served,
    agent: () => running,
    stop,
    start,
    async [Symbol.asyncDispose]() {
      await stop();
      await engine.close();
    },
  };
}
