/** What goes on in a network beside its requests, each again and again. Each throws where the network does not do as it should. */
import type { Client } from '@subcloud/sdk/client';
import { ApiError } from '@subcloud/sdk/api-error';
import { eventually } from '@subcloud/testkit/eventually';
import type { Caller } from './caller.ts';
import type { Counted } from './load.ts';
import { MODELS } from './engine.ts';
import { type SoakNetwork, soakManifest } from './network.ts';

export interface Activity {
  readonly name: string;
  /** From the end of one round to the beginning of the next, ms. */
  readonly pauseMs: number;
  readonly run: (round: number) => Promise<void>;
}

/** A request's id, and what its answer is counted as. */
type Answered = readonly [string, Counted];

const LIMIT_MS = 60_000;

/** `recent`: a request whose answer came a while ago, if there is one. */
export function activities(
  network: SoakNetwork,
  caller: Caller,
  recent: () => Answered | undefined,
): readonly Activity[] {
  const { admin, visitor, nodes } = network;
  return [
    { name: 'tokens made, used and revoked', pauseMs: 3_000, run: (round) => tokenLife(admin, caller, round) },
    {
      name: 'the policy edited',
      pauseMs: 9_000,
      async run(round) {
        const manifest = JSON.stringify(soakManifest(round + 1));
        await admin.call('applySubcloud', { params: { name: 'soak' }, body: { manifest } });
      },
    },
    { name: 'a member assigned and removed', pauseMs: 5_000, run: (round) => memberLife(network, caller, round) },
    { name: 'a Subcloud made and deleted', pauseMs: 11_000, run: () => subcloudLife(admin) },
    {
      name: 'a node that comes and goes',
      pauseMs: 25_000,
      async run(round) {
        process.kill(visitor.pid(), round % 2 === 0 ? 'SIGTERM' : 'SIGKILL');
        await Promise.resolve();
      },
    },
    {
      name: 'receipts and decisions fetched',
      pauseMs: 2_000,
      async run() {
        const answered = recent();
        if (answered === undefined) return;
        const [id, { kind }] = answered;
        const receipt = await eventually(
          `the receipt of ${id} (${kind})`,
          () => found(admin.call('getReceipt', { params: { id } })),
          LIMIT_MS,
        );
        if (!JSON.stringify(receipt).includes(id)) throw new Error(`the receipt of ${id} is that of another request`);
        await eventually(`the decision of ${id}`, () => found(admin.call('getRequest', { params: { id } })), LIMIT_MS);
      },
    },
    {
      name: 'lists, explanations and metrics read',
      pauseMs: 4_000,
      async run(round) {
        await admin.call('listNodes', { query: {} });
        await admin.call('listUsage', { query: {} });
        await admin.call('explainSubcloud', { params: { name: 'soak' } });
        await admin.call('explainNode', { params: { name: 'soak', node: nodes[round % nodes.length] ?? '' } });
        const page = await caller.call({ method: 'GET', path: '/metrics/control' });
        // As an ApiError with `platform.standby` is: control may be too busy to prove that it leads, and says so.
        if (page.status === 503) return;
        if (page.status !== 200) throw new Error(`no metrics of control: ${page.status}`);
      },
    },
    { name: 'events followed', pauseMs: 6_000, run: () => eventsRead(admin) },
  ];
}

async function tokenLife(admin: Client, caller: Caller, round: number): Promise<void> {
  const { id, token } = await admin.call('createToken', {
    params: { name: 'soak' },
    body: { principal: 'user:admin' },
  });
  const nonce = `token${round}`;
  await eventually(
    'a new token opens',
    async () => (await chat(caller, '/s/soak', token, nonce)).status === 200,
    LIMIT_MS,
  );
  const { outstanding } = await admin.call('revokeToken', { params: { name: 'soak', id } });
  if (outstanding.length > 0) throw new Error(`a revocation waits for ${outstanding.length} gateways`);
  const after = await chat(caller, '/s/soak', token, nonce);
  if (after.status !== 401) throw new Error(`a revoked token got ${after.status}: ${after.text.slice(0, 200)}`);
}

async function memberLife({ admin, nodes, credentials }: SoakNetwork, caller: Caller, round: number): Promise<void> {
  const node = nodes[round % nodes.length] ?? '';
  const club = { params: { name: 'club' } };
  const manifest = {
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'club', owner: 'user:admin' },
    // A node that was removed would otherwise be kept waiting for ten minutes.
    spec: { participation: { mode: 'private', cooldown: '0s' } },
  };
  // Any change of the round before may have been refused for the moment: each round puts right what it finds.
  await admin.call('applySubcloud', { ...club, body: { manifest: JSON.stringify(manifest) } });
  const { items } = await admin.call('listMembers', { ...club, query: {} });
  for (const left of items.filter(({ state }) => state !== 'removed'))
    await admin.call('removeMember', { params: { name: 'club', node: left.node } });
  const ask = () => chat(caller, '/s/club', credentials.key, `club${round}`);
  await admin.call('inviteMember', { ...club, body: { node } });
  await eventually('the member serves', async () => (await ask()).status === 200, LIMIT_MS);
  await admin.call('removeMember', { params: { name: 'club', node } });
  const after = await ask();
  if (after.status === 200) throw new Error('a pool without members served');
}

async function subcloudLife(admin: Client): Promise<void> {
  const manifest = {
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'brief', owner: 'user:admin' },
    spec: { participation: { mode: 'open', autoJoin: true, cooldown: '0s' }, models: { allow: [{ id: MODELS.chat }] } },
  };
  const brief = { params: { name: 'brief' } };
  await admin.call('applySubcloud', { ...brief, body: { manifest: JSON.stringify(manifest) } });
  await eventually(
    'it has members',
    async () =>
      (await admin.call('listMembers', { ...brief, query: {} })).items.some(({ state }) => state === 'active'),
    LIMIT_MS,
  );
  await admin.call('deleteSubcloud', brief);
}

async function eventsRead(admin: Client): Promise<void> {
  const stopping = new AbortController();
  const stop = setTimeout(() => stopping.abort(), 1_000);
  try {
    for await (const _ of admin.stream('listEvents', { query: {} }, { signal: stopping.signal, idleMs: LIMIT_MS }));
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  } finally {
    clearTimeout(stop);
  }
}

async function chat(caller: Caller, pool: string, credential: string, nonce: string) {
  const messages = [{ role: 'user', content: JSON.stringify({ nonce, words: 2 }) }];
  const body = JSON.stringify({ model: MODELS.chat, messages });
  return await caller.call({ method: 'POST', path: `${pool}/v1/chat/completions`, credential, body });
}

async function found<Value>(call: Promise<Value>): Promise<Value | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}
