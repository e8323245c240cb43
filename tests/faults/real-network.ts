/**
 * A network in processes of its own for faults of real engines: PostgreSQL, control and gateway, two agents, a real model behind
 * each, a proxy between each agent and its engine and between each agent and the gateway; and a node of another pool with the
 * same model, which nothing of it may reach.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, createClient } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { DEMO_MODEL, type RealEngine as DemoEngine, startDemoEngine } from '@subcloud/testkit/real-engine';
import { type ScriptedEngine, startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { type ServiceAgent, type Up, startServiceAgent, startUp } from '../crash/processes.ts';
import { type ProxyGroup, createProxyGroup } from './engine-proxy.ts';

export const MODEL = DEMO_MODEL;
export const LIMIT_MS = 90_000;

/** A real engine that can be killed and started anew. */
export class RealEngine implements AsyncDisposable {
  #engine: DemoEngine | undefined;
  port = 0;

  async start(): Promise<this> {
    this.#engine = await startDemoEngine();
    this.port = Number(new URL(this.#engine.url).port);
    return this;
  }

  signal(name: NodeJS.Signals): void {
    this.#engine?.process.kill(name);
  }

  /** Starts it again where it has ended. */
  async revive(): Promise<void> {
    const child = this.#engine?.process;
    if (child?.exitCode !== null || child.signalCode !== null) await this.start();
  }

  async kill(): Promise<void> {
    await this.#engine?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

export interface RealNetwork extends AsyncDisposable {
  readonly up: Up;
  readonly admin: Client;
  readonly engines: readonly RealEngine[];
  readonly agents: readonly ServiceAgent[];
  /** Between agents and engines. */
  readonly proxies: ProxyGroup;
  /** Between agents and the gateway. */
  readonly links: ProxyGroup;
  /** Behind the node of the other pool. */
  readonly outsider: ScriptedEngine;
  /** Resolves when both nodes are linked and offer the model. */
  bothServe(): Promise<void>;
}

export async function startRealNetwork(): Promise<RealNetwork> {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-faults-'));
  await using starting = new AsyncDisposableStack();
  starting.defer(() => rmSync(folder, { recursive: true, force: true }));
  const up = starting.use(await startUp(join(folder, 'network')));
  const gatewayPort = Number(new URL(up.ready.url).port);
  const admin = createClient({ url: up.ready.url, credential: up.ready.adminToken, timeoutMs: LIMIT_MS });
  starting.defer(() => admin.close());
  const proxies = starting.use(createProxyGroup());
  const links = starting.use(createProxyGroup());
  const agent = async (name: string, engineUrl: string, consent: string): Promise<ServiceAgent> => {
    const { joinToken } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
    const { port } = await links.add(() => gatewayPort);
    return starting.use(
      await startServiceAgent({
        SUBCLOUD_URL: `http://127.0.0.1:${port}`,
        SUBCLOUD_JOIN_TOKEN: joinToken,
        SUBCLOUD_DATA_DIR: join(folder, name),
        SUBCLOUD_NAME: name,
        SUBCLOUD_ENGINES: engineUrl,
        SUBCLOUD_CONSENT: consent,
        SUBCLOUD_HARDWARE: 'none',
        SUBCLOUD_LOG_LEVEL: 'silent',
      }),
    );
  };
  const engines: RealEngine[] = [];
  const agents: ServiceAgent[] = [];
  for (const name of ['one', 'two']) {
    const engine = starting.use(await new RealEngine().start());
    engines.push(engine);
    const { port } = await proxies.add(() => engine.port);
    agents.push(await agent(name, `http://127.0.0.1:${port}`, '{global: true}'));
  }
  const outsider = starting.use(await startScriptedEngine({ models: [MODEL] }));
  await agent('outsider', outsider.url, '{global: false}');
  const bothServe = async (): Promise<void> => {
    await eventually('both serve', async () => serving(admin), LIMIT_MS);
  };
  await bothServe();
  const started = starting.move();
  const network = { up, admin, engines, agents, proxies, links, outsider, bothServe };
  return { ...network, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

async function serving(admin: Client): Promise<boolean> {
  const { items } = await admin.call('listMembers', { params: { name: 'global' }, query: {} });
  return items.filter((member) => member.serving && member.models.includes(MODEL)).length === 2;
}
