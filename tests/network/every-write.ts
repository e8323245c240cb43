/**
 * For every route that changes something: what to send so that it does. A route that is added without a case here does
 * not compile, so every property over "all write routes" holds for it too.
 */
import { type ControlRouteName, type ControlRoutes, controlRoutes } from '@subcloud/contract/routes/control';
import type { ClientInputOf, RouteSpec } from '@subcloud/contract/routes/route';
import { hashSecret, parseJoinToken } from '@subcloud/kit/secrets';
import { generateSigningKey, signText } from '@subcloud/kit/signing';
import type { TestNetwork, TestNode } from '@subcloud/testkit/test-network';
import { registeredGateway } from '@subcloud/testkit/registered-gateway';
import { attestingIn, seat } from './attesting.ts';
import { peopleWrites } from './every-write-people.ts';

type ReadOnly = { readonly method: 'get' } | { readonly readOnly: string };
export type WriteName = {
  [Name in ControlRouteName]: ControlRoutes[Name] extends ReadOnly ? never : Name;
}[ControlRouteName];

/** Prepares what the call needs and returns its input. Each call of a case prepares anew. */
export type WriteCases = { readonly [Name in WriteName]: () => Promise<ClientInputOf<ControlRoutes[Name]>> };

/** Nobody's traffic moves without their own yes, so these are sent with the key of `user:admin`: the admin token may not. */
export const OWN_YES: ReadonlySet<WriteName> = new Set(['acceptBinding', 'declineBinding']);

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
  readonly text: string;
}

/** Calls a route as it goes over the wire, so that a test sees status and headers. */
export async function send(
  network: TestNetwork,
  name: ControlRouteName,
  input: object,
  options: { readonly credential?: string | undefined; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<Answer> {
  const route: RouteSpec = controlRoutes[name];
  const {
    params = {},
    query = {},
    body,
  } = input as Partial<Record<'params' | 'query', Record<string, string>>> & {
    body?: unknown;
  };
  const path = route.path.replace(/\{(\w+)\}/g, (_, key: string) => encodeURIComponent(params[key] ?? ''));
  const search = new URLSearchParams(query).toString();
  const { credential, headers = {} } = options;
  const response = await fetch(`${network.url}${path}${search === '' ? '' : `?${search}`}`, {
    method: route.method.toUpperCase(),
    headers: {
      ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: text === '' ? null : JSON.parse(text) };
}

export const writeNames = (Object.entries(controlRoutes) as [ControlRouteName, RouteSpec][]).flatMap(
  ([name, { method, readOnly }]) => (method === 'get' || readOnly !== undefined ? [] : [name as WriteName]),
);

const SEMI_OPEN = { participation: { mode: 'semi-open' } };

/** The cases of one network, sent with the admin token. `node` operates for `user:admin`. */
export async function everyWrite(network: TestNetwork, node: TestNode): Promise<WriteCases> {
  const { admin } = network;
  const attesting = await attestingIn(network);
  let count = 0;
  const fresh = (): string => `n${(count += 1)}`;
  const manifest = (name: string, spec: object = {}): string =>
    JSON.stringify({ apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata: { name, owner: 'user:admin' }, spec });
  const subcloud = async (spec: object = {}): Promise<string> => {
    const name = fresh();
    await admin.call('applySubcloud', { params: { name }, body: { manifest: manifest(name, spec) } });
    return name;
  };
  const requested = async (): Promise<string> => {
    const name = await subcloud(SEMI_OPEN);
    await admin.call('acceptMember', { params: { name, node: node.id }, body: {} });
    return name;
  };
  const claim = async (): Promise<string> => {
    const attester = await attesting.attester(fresh(), ['operatorSeat']);
    return (await attesting.post(attesting.sign(attester, seat('DE', node)))).claim.id;
  };
  const revoked = async (): Promise<string> => {
    const { items } = await admin.call('listClaims', { query: { node: node.id, revoked: 'true' } });
    const labels = items.find(({ source, fact }) => source === 'declared' && fact === 'labels');
    if (labels === undefined) throw new Error('the node declares no labels');
    if (labels.revokedAt === null) await admin.call('revokeClaim', { params: { id: labels.id } });
    return labels.id;
  };

  const binding = (): Promise<string> => newBinding(network, fresh());

  return {
    ...peopleWrites(network, fresh, subcloud),
    acceptBinding: async () => ({ params: { id: await binding() } }),
    declineBinding: async () => ({ params: { id: await binding() } }),
    endBinding: async () => ({ params: { id: await binding() } }),
    createAttester: () =>
      Promise.resolve({
        body: { name: fresh(), publicKey: generateSigningKey().publicKey, facts: ['operatorSeat'] },
      }),
    revokeAttester: async () => ({ params: { name: (await attesting.attester(fresh(), ['operatorSeat'])).name } }),
    createClaim: async () => {
      const attester = await attesting.attester(fresh(), ['operatorSeat']);
      return { body: { document: attesting.sign(attester, seat('DE', node)) } };
    },
    revokeClaim: async () => ({ params: { id: await claim() } }),
    restoreClaim: async () => ({ params: { id: await revoked() } }),
    nvidiaAttestation: () => Promise.reject(new Error('see nvidia.test.ts')),
    applySubcloud: () => {
      const name = fresh();
      return Promise.resolve({ params: { name }, body: { manifest: manifest(name) } });
    },
    deleteSubcloud: async () => ({ params: { name: await subcloud() } }),
    rollbackSubcloud: async () => {
      const name = await subcloud();
      const changed = manifest(name, { isolation: 'isolate' });
      await admin.call('applySubcloud', { params: { name }, body: { manifest: changed } });
      return { params: { name }, body: { revision: 1 } };
    },
    putDraft: async () => {
      const name = await subcloud();
      return { params: { name }, body: { manifest: manifest(name, { isolation: 'isolate' }) } };
    },
    deleteDraft: async () => {
      const name = await subcloud();
      const draft = manifest(name, { isolation: 'isolate' });
      await admin.call('putDraft', { params: { name }, body: { manifest: draft } });
      return { params: { name } };
    },
    applyNetwork: () =>
      Promise.resolve({
        body: {
          manifest: JSON.stringify({
            apiVersion: 'subcloud/v1',
            kind: 'Network',
            spec: { nodes: { labels: { [fresh()]: 'x' } } },
          }),
        },
      }),
    putDomain: () => Promise.resolve({ params: { name: fresh().toUpperCase() }, body: { members: ['DE'] } }),
    deleteDomain: async () => {
      const name = fresh().toUpperCase();
      await admin.call('putDomain', { params: { name }, body: { members: ['DE'] } });
      return { params: { name } };
    },
    enrol: async () => {
      const { joinToken } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
      const secret = parseJoinToken(joinToken)?.secret ?? '';
      const key = generateSigningKey();
      const proof = signText(key, `subcloud/v1/enrol\n${hashSecret(secret)}\n${key.publicKey}`);
      return { body: { joinToken: secret, publicKey: key.publicKey, name: fresh(), proof, agentVersion: 'test' } };
    },
    removeNode: async () => {
      const input = await (await everyWrite(network, node)).enrol();
      return { params: { id: (await admin.call('enrol', input)).node } };
    },
    drainNode: async () => {
      const input = await (await everyWrite(network, node)).enrol();
      return { params: { id: (await admin.call('enrol', input)).node }, body: { reason: 'new disks' } };
    },
    undrainNode: async () => {
      const input = await (await everyWrite(network, node)).enrol();
      const { node: id } = await admin.call('enrol', input);
      await admin.call('drainNode', { params: { id }, body: {} });
      return { params: { id } };
    },
    createPrincipal: () => Promise.resolve({ body: { id: `user:${fresh()}` as const } }),
    createKey: () => Promise.resolve({ body: { principal: 'user:admin' as const } }),
    revokeKey: async () => ({
      params: { id: (await admin.call('createKey', { body: { principal: 'user:admin' } })).id },
    }),
    createJoinToken: () => Promise.resolve({ body: { operator: 'user:admin' as const } }),
    revokeJoinToken: async () => ({
      params: { id: (await admin.call('createJoinToken', { body: { operator: 'user:admin' } })).id },
    }),
    rotateSigningKey: () => Promise.resolve({ body: {} }),
    installSigningKeyCertificate: async () => {
      const certificate = (await admin.call('network')).chain.signingKeys[0];
      if (certificate === undefined) throw new Error('the chain is empty');
      return { body: { certificate } };
    },
    createGatewayToken: () => Promise.resolve({ body: { name: fresh() } }),
    revokeGatewayToken: async () => ({ params: { id: (await admin.call('createGatewayToken', { body: {} })).id } }),
    removeGateway: async () => ({ params: { id: await registeredGateway(network.dataDir) } }),
    inviteMember: async () => ({ params: { name: await subcloud() }, body: { node: node.id } }),
    removeMember: async () => {
      const name = await subcloud();
      await admin.call('inviteMember', { params: { name }, body: { node: node.id } });
      return { params: { name, node: node.id } };
    },
    approveMember: async () => ({ params: { name: await requested(), node: node.id } }),
    denyMember: async () => ({ params: { name: await requested(), node: node.id } }),
    acceptMember: async () => ({ params: { name: await subcloud(SEMI_OPEN), node: node.id }, body: {} }),
    declineMember: async () => ({ params: { name: await requested(), node: node.id } }),
    createBan: async () => ({
      params: { name: await subcloud() },
      body: { kind: 'node', subject: node.id, reason: 'it lied' },
    }),
    liftBan: async () => {
      const name = await subcloud();
      const { ban } = await admin.call('createBan', {
        params: { name },
        body: { kind: 'operator', subject: 'user:admin' },
      });
      return { params: { name, id: ban.id } };
    },
    createToken: async () => ({ params: { name: await subcloud() }, body: {} }),
    rotateToken: async () => {
      const name = await subcloud();
      const { id } = await admin.call('createToken', { params: { name }, body: {} });
      return { params: { name, id }, body: {} };
    },
    revokeToken: async () => {
      const name = await subcloud();
      return { params: { name, id: (await admin.call('createToken', { params: { name }, body: {} })).id } };
    },
    setQuota: () => Promise.resolve({ body: { limits: { tokens: 9_999 } } }),
    putPlaces: () => Promise.resolve({ body: { places: [{ cidr: '127.0.1.0/24', country: 'DE' }] } }),
  };
}

/** Offered to `user:admin`, who is bound nowhere. */
async function newBinding(network: TestNetwork, name: string): Promise<string> {
  const owner = 'org:offers';
  const { admin } = network;
  await network.principal(owner);
  const { items } = await admin.call('listBindings', {});
  for (const { id, state } of items) if (state === 'active') await admin.call('endBinding', { params: { id } });
  const spec = { access: { binding: ['user:admin'] } };
  const manifest = JSON.stringify({ apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata: { name, owner }, spec });
  await admin.call('applySubcloud', { params: { name }, body: { manifest } });
  const offered = await admin.call('listBindings', { query: { subcloud: name } });
  return offered.items[0]?.id ?? '';
}
