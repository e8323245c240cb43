/**
 * The network of a soak, in processes of its own: PostgreSQL, control, gateway and their supervisor; two nodes that stay, one
 * that stays and leaks on purpose, and one that comes and goes.
 */
import { mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, createClient } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import type { ScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { type ServiceAgent, type Up, pidIn, startServiceAgent, startUp } from '../crash/processes.ts';
import { MODELS, VISITOR_MODEL, startSoakApi, startSoakEngine } from './engine.ts';
import type { Credentials } from './requests.ts';
import { type InUse, inUse, probed } from './sampling.ts';

/** The agent that leaks on purpose: who does not find it would find nothing. */
export const PLANTED = 'planted agent';
const PLANT = 'agent=heap:2048,timer:100,socket:100';
const PARTS = ['supervisor', 'control', 'gateway', 'agent one', 'agent two', PLANTED] as const;
export type PartName = (typeof PARTS)[number];

export interface SoakNetwork extends AsyncDisposable {
  readonly up: Up;
  readonly admin: Client;
  readonly engines: readonly ScriptedEngine[];
  readonly visitor: ServiceAgent;
  /** Of those that stay, in the order in which they were started. */
  readonly nodes: readonly string[];
  readonly credentials: Credentials;
  /** Throws where a part is not the process that it was at first. */
  sample(): Promise<ReadonlyMap<PartName, InUse>>;
}

export const soakManifest = (edit: number): object => ({
  apiVersion: 'subcloud/v1',
  kind: 'Subcloud',
  metadata: { name: 'soak', owner: 'user:admin', labels: { edit: String(edit % 2) } },
  spec: {
    participation: { mode: 'open', autoJoin: true, cooldown: '0s' },
    access: { tokens: true },
    apis: [{ name: 'echo', methods: ['GET', 'POST'], paths: ['/words/*'] }],
    routing: { retries: 1 + (edit % 2), queue: { max: 256, timeout: '20s' } },
  },
});

/** `plant`: what else leaks on purpose, as probe.ts reads it. */
export async function startSoakNetwork(plant = ''): Promise<SoakNetwork> {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-soak-'));
  const probes = join(folder, 'probes');
  mkdirSync(probes);
  await using starting = new AsyncDisposableStack();
  starting.defer(() => rmSync(folder, { recursive: true, force: true }));
  const up = starting.use(await startUp(join(folder, 'network'), [], probed(probes, plant)));
  const { url, adminToken, apiKey } = up.ready;
  const admin = createClient({ url, credential: adminToken, timeoutMs: 60_000 });
  starting.defer(() => admin.close());
  const api = starting.use(await startSoakApi());
  const engines: ScriptedEngine[] = [];
  const agent = async (name: string, models: readonly string[], leak = ''): Promise<ServiceAgent> => {
    const engine = starting.use(await startSoakEngine(models));
    engines.push(engine);
    const { joinToken } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
    const visits = models.includes(VISITOR_MODEL);
    return starting.use(
      await startServiceAgent({
        ...probed(probes, leak),
        SUBCLOUD_URL: url,
        SUBCLOUD_JOIN_TOKEN: joinToken,
        SUBCLOUD_DATA_DIR: join(folder, name),
        SUBCLOUD_NAME: name,
        SUBCLOUD_ENGINES: JSON.stringify([{ url: engine.url, modalities: { [MODELS.image]: ['text', 'image'] } }]),
        SUBCLOUD_CONSENT: visits ? '{autoJoin: none}' : '{autoJoin: all}',
        SUBCLOUD_HARDWARE: 'none',
        SUBCLOUD_LOG_LEVEL: 'silent',
        ...(visits ? {} : { SUBCLOUD_APIS: JSON.stringify([{ name: 'echo', url: api.url }]) }),
      }),
    );
  };
  const staying = [
    await agent('one', Object.values(MODELS)),
    await agent('two', Object.values(MODELS)),
    await agent('planted', Object.values(MODELS), PLANT),
  ];
  const visitor = await agent('visitor', [VISITOR_MODEL]);
  await admin.call('applySubcloud', { params: { name: 'soak' }, body: { manifest: JSON.stringify(soakManifest(0)) } });
  const nodes = await eventually('three nodes serve the Subcloud', () => serving(admin), 120_000);
  const pids = pidsOf(up, staying);
  const network = {
    up,
    admin,
    engines,
    visitor,
    nodes,
    credentials: { key: apiKey, ...(await tokens(admin)) },
    async sample() {
      const now = pidsOf(up, staying);
      for (const [name, pid] of pids)
        if (now.get(name) !== pid) throw new Error(`${name} has ended and been started again`);
      const taken = new Map<PartName, InUse>();
      // One after the other: a collection takes a core.
      for (const [name, pid] of pids) taken.set(name, await inUse(probes, pid));
      return taken;
    },
  };
  const started = starting.move();
  return { ...network, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

function pidsOf(up: Up, agents: readonly ServiceAgent[]): ReadonlyMap<PartName, number> {
  const pids = [
    pidIn(up.child),
    up.pidOf('control/src/main'),
    up.pidOf('gateway/src/main'),
    ...agents.map((one) => one.pid()),
  ];
  return new Map(PARTS.map((name, index) => [name, pids[index] ?? 0]));
}

async function serving(admin: Client): Promise<readonly string[] | undefined> {
  const { items } = await admin.call('listMembers', { params: { name: 'soak' }, query: {} });
  const ids = items.map(({ node }) => node);
  const states = await Promise.all(ids.map((node) => admin.call('explainNode', { params: { name: 'soak', node } })));
  return ids.length === 3 && states.every((state) => state.serving) ? ids : undefined;
}

async function tokens(admin: Client): Promise<Omit<Credentials, 'key'>> {
  const made = async (terms: { scopes?: 'chat'[] } = {}) =>
    await admin.call('createToken', { params: { name: 'soak' }, body: { principal: 'user:admin', ...terms } });
  const revoked = await made();
  await admin.call('revokeToken', { params: { name: 'soak', id: revoked.id } });
  return {
    token: (await made()).token,
    chatToken: (await made({ scopes: ['chat'] })).token,
    revoked: revoked.token,
  };
}
