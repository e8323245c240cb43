/** Control in one folder, gateways in others, as on machines of their own: they share nothing but TLS on 127.0.0.1. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type Server, type Socket, connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningAgent, agentOptions, runAgent } from '@subcloud/agent/run';
import { type RunningControl, controlOptions, runControl } from '@subcloud/control/run';
import { type RunningGateway, gatewayOptions, runGateway } from '@subcloud/gateway/run';
import { systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { silentLog } from '@subcloud/kit/log';
import { type Client, createClient } from '@subcloud/sdk/client';
import { type ControllableClock, controllableClock } from '@subcloud/testkit/controllable-clock';
import { eventually } from '@subcloud/testkit/eventually';
import { type ScriptedEngine, startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { testDatabase } from '@subcloud/testkit/test-database';

export interface ScaledOut extends AsyncDisposable {
  readonly folder: string;
  readonly clock: ControllableClock;
  /** By control's own socket, as on its machine. */
  readonly admin: Client;
  readonly apiKey: string;
  readonly adminToken: string;
  control(): RunningControl;
  restartControl(): Promise<void>;
  stopControl(): Promise<void>;
  startControl(): Promise<void>;
  token(): Promise<string>;
  /** `url`: of control; default: its own. */
  gateway(name: string, options?: Readonly<Record<string, unknown>>): Promise<RunningGateway>;
  agent(name: string, gateway: Pick<RunningGateway, 'url'>): Promise<RunningAgent>;
  /** Of the agent of that name. */
  engine(name: string): ScriptedEngine;
  url(): string;
}

export async function startScaledOut(): Promise<ScaledOut> {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-scale-'));
  const clock = controllableClock();
  const shared = { clock, random: systemRandom, log: silentLog };
  const database = await testDatabase();
  const dataDir = join(folder, 'control');
  let port = 0;
  const start = async (): Promise<RunningControl> => {
    const flags = { dataDir, databaseUrl: database.connectionString, gatewaysHost: '127.0.0.1', gatewaysPort: port };
    const running = await runControl({ ...shared, config: loadConfig(controlOptions, { flags }) });
    port = running.gatewaysPort ?? 0;
    return running;
  };
  let control: RunningControl | undefined = await start();
  const { adminToken, apiKey } = JSON.parse(readFileSync(join(dataDir, 'credentials.json'), 'utf8')) as {
    adminToken: string;
    apiKey: string;
  };
  const admin = createClient({
    url: 'http://control',
    socketPath: join(dataDir, 'run', 'api.sock'),
    credential: adminToken,
  });
  const parts: AsyncDisposable[] = [];
  const engines = new Map<string, ScriptedEngine>();
  return {
    folder,
    clock,
    admin,
    apiKey,
    adminToken,
    control: () => control as RunningControl,
    url: () => `https://127.0.0.1:${port}`,
    async startControl() {
      control = await start();
    },
    async stopControl() {
      await control?.stop();
      control = undefined;
    },
    async restartControl() {
      await control?.stop();
      control = await start();
    },
    token: async () => (await admin.call('createGatewayToken', { body: {} })).gatewayToken,
    async gateway(name, options = {}) {
      const flags = { dataDir: join(folder, name), port: 0, controlUrl: `https://127.0.0.1:${port}`, ...options };
      const running = await runGateway({ ...shared, config: loadConfig(gatewayOptions, { flags }) });
      parts.unshift(running);
      return running;
    },
    async agent(name, gateway) {
      const engine = await startScriptedEngine({ models: ['test-model'], name });
      parts.push(engine);
      engines.set(name, engine);
      const { joinToken } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
      const flags = {
        url: gateway.url,
        joinToken,
        dataDir: join(folder, name),
        name,
        engines: [{ url: engine.url }],
        hardware: 'none',
      };
      const running = await runAgent({ ...shared, config: loadConfig(agentOptions, { flags }) });
      parts.unshift(running);
      await eventually('the agent is linked', () => running.linked());
      return running;
    },
    engine: (name) => engines.get(name) as ScriptedEngine,
    async [Symbol.asyncDispose]() {
      for (const part of parts) await part[Symbol.asyncDispose]();
      await admin.close();
      await control?.stop();
      await database[Symbol.asyncDispose]();
      clock[Symbol.dispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface Wire extends AsyncDisposable {
  readonly port: number;
  /** Nothing passes any more, and nothing says so: bytes are swallowed, connections stay open. */
  swallow(): void;
  heal(): void;
}

/** A wire to another port that can be interrupted as networks are. */
export async function startWire(target: number): Promise<Wire> {
  let swallowing = false;
  const ends = new Set<Socket>();
  const server: Server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      ends.add(from);
      from.on('data', (bytes: Buffer) => swallowing || to.write(bytes));
      from.on('error', () => to.destroy());
      from.on('close', () => {
        ends.delete(from);
        if (!swallowing) to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const cut = (): void => ends.forEach((end) => end.destroy());
  return {
    port: (server.address() as AddressInfo).port,
    swallow() {
      swallowing = true;
    },
    heal() {
      swallowing = false;
      cut();
    },
    async [Symbol.asyncDispose]() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
