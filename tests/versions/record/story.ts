/**
 * What is done in a network that is recorded, and what its own version says of the outcome: `Meaning` is what a later version
 * must make of the rows. Called through whatever routes the version has.
 */
import { generateSigningKey, signDocument } from '@subcloud/kit/signing';
import { eventually } from '@subcloud/testkit/eventually';

type Call = (name: string, input?: object) => Promise<never>;

export interface Recording {
  readonly routes: ReadonlySet<string>;
  /** Of the gateway itself, and of the tape before it. */
  readonly url: string;
  readonly taped: string;
  readonly adminToken: string;
  readonly apiKey: string;
  client(credential: string): { readonly call: Call };
  startAgent(
    name: string,
    joinToken: string,
    address: string,
    url: string,
  ): Promise<{ readonly nodeId: string; stop(): Promise<void> }>;
}

export interface Meaning {
  /** Of nodes by name. */
  readonly nodes: Readonly<Record<string, string>>;
  /** Pool to node to state. */
  readonly memberships: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Secrets that open a pool, and such as open nothing any more. */
  readonly opens: readonly { readonly pool: string; readonly secret: string }[];
  readonly closed: readonly { readonly pool: string; readonly secret: string }[];
  readonly usage: { readonly requests: number; readonly promptTokens: number; readonly completionTokens: number };
  readonly principals: readonly string[];
  /** Names of Subclouds that are gone. */
  readonly deleted: readonly string[];
  readonly networkId: string;
  readonly joinToken: string;
}

const PLACES = [
  { cidr: '127.0.1.0/24', country: 'DE', subdivision: 'DE-BE' },
  { cidr: '127.0.3.0/24', country: 'US' },
];
const OPEN = { participation: { mode: 'open', autoJoin: true } };

export async function tellStory(recording: Recording) {
  const { routes, url, taped } = recording;
  const startAgent: Recording['startAgent'] = (...given) => recording.startAgent(...given);
  const admin = recording.client(recording.adminToken);
  const call = <Result>(name: string, input: object = {}): Promise<Result> =>
    admin.call(name, input) as Promise<Result>;
  const apply = (name: string, owner: string, spec: object): Promise<unknown> => {
    const manifest = JSON.stringify({ apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata: { name, owner }, spec });
    return call('applySubcloud', { params: { name }, body: { manifest } });
  };
  const principals = ['user:ada', 'org:acme', 'team:acme/ml'];

  await call('putPlaces', { body: { places: PLACES } });
  for (const id of principals) await principal(call, routes, id);
  const { key: adaKey } = await call<{ key: string }>('createKey', { body: { principal: 'user:ada', name: 'laptop' } });
  const { key: lostKey, id: lostId } = await call<{ key: string; id: string }>('createKey', {
    body: { principal: 'user:ada' },
  });
  await call('revokeKey', { params: { id: lostId } });
  const { joinToken } = await call<{ joinToken: string }>('createJoinToken', { body: { operator: 'org:acme' } });
  const { id: spent } = await call<{ id: string }>('createJoinToken', { body: { operator: 'user:ada' } });
  await call('revokeJoinToken', { params: { id: spent } });

  await apply('europe', 'org:acme', { ...OPEN, nodes: { location: { in: ['EU'] } }, access: { tokens: true } });
  await apply('apart', 'user:ada', { participation: { mode: 'private' }, isolation: 'isolate' });
  await apply('brief', 'user:ada', { participation: { mode: 'private' } });
  await apply('gone', 'user:ada', OPEN);
  await apply('gone', 'user:ada', { ...OPEN, nodes: { location: { in: ['US'] } } });
  await call('deleteSubcloud', { params: { name: 'gone' } });

  // The one whose link is on the tape: it serves Europe.
  const berlin = await startAgent('berlin', joinToken, '127.0.1.5', taped);
  const boston = await startAgent('boston', joinToken, '127.0.3.5', url);
  const away = await startAgent('away', joinToken, '127.0.3.6', url);
  const nodes = { berlin: berlin.nodeId, boston: boston.nodeId };
  const serves = (pool: string, node: string): Promise<unknown> =>
    eventually(`${node} serves ${pool}`, async () => {
      const found = await call<{ serving: boolean }>('explainNode', { params: { name: pool, node } });
      return found.serving;
    });
  await serves('europe', berlin.nodeId);
  await call('inviteMember', { params: { name: 'brief' }, body: { node: boston.nodeId } });
  await serves('brief', boston.nodeId);
  await call('removeMember', { params: { name: 'brief', node: boston.nodeId } });
  await call('inviteMember', { params: { name: 'apart' }, body: { node: boston.nodeId } });
  await serves('apart', boston.nodeId);
  await away.stop();
  await call('removeNode', { params: { id: away.nodeId } });

  const token = (principalId: string): Promise<{ token: string; id: string }> =>
    call('createToken', { params: { name: 'europe' }, body: { principal: principalId, name: 'app' } });
  const kept = await token('user:ada');
  const revoked = await token('user:ada');
  await call('revokeToken', { params: { name: 'europe', id: revoked.id } });
  if (routes.has('createOrg')) await laterDeeds(recording, call, apply, berlin.nodeId);

  for (const secret of [kept.token, recording.apiKey, adaKey])
    await eventually('a request is answered', () => chat(url, secret, secret === kept.token), 20_000);
  await eventually('a stream is answered', () => chat(url, kept.token, true), 20_000);
  const memberships: Record<string, Record<string, string>> = {};
  for (const pool of ['global', 'europe', 'apart', 'brief']) {
    memberships[pool] = {};
    for (const [name, node] of Object.entries(nodes)) {
      const { state } = await call<{ state: string | null }>('explainNode', { params: { name: pool, node } });
      memberships[pool][name] = state ?? 'none';
    }
  }
  const usage = await eventually('usage is stored', async () => {
    const found = await call<{ items: { requests: number; promptTokens: number; completionTokens: number }[] }>(
      'listUsage',
    );
    const sum = { requests: 0, promptTokens: 0, completionTokens: 0 };
    for (const item of found.items) {
      sum.requests += item.requests;
      sum.promptTokens += item.promptTokens;
      sum.completionTokens += item.completionTokens;
    }
    return sum.requests >= 4 ? sum : undefined;
  });
  const { id: networkId } = await call<{ id: string }>('network');
  return {
    agents: [berlin, boston],
    nodes,
    memberships,
    opens: [
      { pool: 'europe', secret: kept.token },
      { pool: 'global', secret: adaKey },
      { pool: 'global', secret: recording.apiKey },
    ],
    closed: [
      { pool: 'europe', secret: revoked.token },
      { pool: 'global', secret: lostKey },
    ],
    usage,
    principals,
    deleted: ['gone'],
    networkId,
    joinToken,
  };
}

/** Organisations and teams have routes of their own in later versions. */
async function principal(
  call: (name: string, input: object) => Promise<unknown>,
  routes: ReadonlySet<string>,
  id: string,
): Promise<void> {
  if (routes.has('createOrg') && id.startsWith('org:')) await call('createOrg', { body: { id: id.slice(4) } });
  else if (routes.has('createTeam') && id.startsWith('team:')) {
    const [org = '', team = ''] = id.slice(5).split('/');
    await call('createTeam', { params: { org }, body: { id: team } });
  } else await call('createPrincipal', { body: { id } });
}

/** What came after the first release of the tables: claims that are signed, domains, people, answers, bans, bindings. */
async function laterDeeds(
  { routes }: Recording,
  call: <Result>(name: string, input?: object) => Promise<Result>,
  apply: (name: string, owner: string, spec: object) => Promise<unknown>,
  node: string,
): Promise<void> {
  const key = generateSigningKey();
  const { id: networkId } = await call<{ id: string }>('network');
  await call('createAttester', { body: { name: 'notary', publicKey: key.publicKey, facts: ['operatorSeat'] } });
  const claim = {
    version: 1,
    networkId,
    issuer: 'notary',
    subject: { node },
    fact: 'operatorSeat',
    value: { country: 'DE' },
    issuedAt: Date.now(),
    expiresAt: Date.now() + 365 * 86_400_000,
  } as const;
  await call('createClaim', { body: { document: signDocument(key, 'claim', claim) } });
  await call('putDomain', { params: { name: 'ALPS' }, body: { members: ['DE', 'AT', 'CH'] } });
  await call('setOrgMember', { params: { org: 'acme', member: 'ada' }, body: { role: 'admin' } });
  await call('setTeamMember', { params: { org: 'acme', team: 'ml', member: 'ada' }, body: { role: 'member' } });
  if (routes.has('createInvitation'))
    await call('createInvitation', { body: { group: 'org:acme', role: 'member', email: 'bob@example.com' } });
  if (routes.has('createServiceAccount'))
    await call('createServiceAccount', { params: { org: 'acme' }, body: { id: 'ci' } });
  if (routes.has('acceptBinding')) await apply('bound', 'org:acme', { access: { binding: ['user:ada'] } });
  if (routes.has('createBan')) {
    await apply('strict', 'org:acme', { participation: { mode: 'semi-open' } });
    await call('createBan', { params: { name: 'strict' }, body: { kind: 'node', subject: node, reason: 'it lied' } });
  }
  if (routes.has('createGatewayToken')) await call('createGatewayToken', { body: { name: 'second' } });
}

async function chat(url: string, secret: string, stream: boolean): Promise<boolean> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'test-model', stream, messages: [{ role: 'user', content: 'hello' }] }),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${response.status} ${text.slice(0, 200)}`);
  return true;
}
