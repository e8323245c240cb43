/** For every route a call on things of the owner. A route without one does not compile. */
import type { Action } from '@subcloud/contract/routes/actions';
import type { Role } from '@subcloud/control/access/rights';
import type { ControlRouteName } from '@subcloud/contract/routes/control';
import { registeredGateway } from '@subcloud/testkit/registered-gateway';
import { claimDocument, enrolment, type Fixture, manifestText, type Things } from './fixture.ts';
import { ACCOUNT_CALLS } from './calls-accounts.ts';
import { QUOTA_CALLS } from './calls-quotas.ts';
import { PEOPLE_CALLS } from './calls-people.ts';
import type { About, Owner } from './people.ts';

export interface Input {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export interface Call {
  /** What of the owner's the call is about. */
  readonly about: About;
  /**
   * How it is refused: `known`: not found to who may not know of it, else forbidden; `hidden`: not found to all;
   * `forbidden`: the caller named the owner, so there is nothing to hide; else that code.
   */
  readonly refused: 'known' | 'hidden' | 'forbidden' | 'client.conflict' | 'policy.join_refused';
  /** The right to know that the thing is there; default: to read it. */
  readonly know?: Action;
  /** Owners whose things it is about; default: both. */
  readonly owners?: readonly Owner[];
  /** What somebody is to the thing, where it belongs to neither owner. */
  readonly roles?: (person: string) => readonly Role[];
  /** Who is a stranger to the thing; default: `stranger`. */
  readonly stranger?: string;
  /** What somebody is to this one counts too. */
  readonly alsoOf?: Owner;
  /** People whom the table lets through and who are refused all the same, with the reason beside. */
  readonly not?: readonly string[] | 'all';
  /** Brings back what the call took away. */
  readonly after?: (fixture: Fixture, person: string) => Promise<void>;
  /** Made new for each call that changes something. `person`: who calls, `allowed`: whether it is to work. */
  readonly input: (fixture: Fixture, things: Things, person: string, allowed: boolean) => Input | Promise<Input>;
}

const NETWORK = { about: 'network', refused: 'forbidden' } as const;
const SUBCLOUD = { about: 'subcloud', refused: 'known', know: 'subcloud.read' } as const;
const NODE = { about: 'node', refused: 'known', know: 'node.read' } as const;
/** Of the owner, to a Subcloud of somebody else. */
const BINDING = { about: 'principal', refused: 'known', know: 'binding.read' } as const;
const TOO_OLD = { ifRevision: 99 } as const;

const none = (): Input => ({});
const theSubcloud = (_fixture: Fixture, { subcloud }: Things): Input => ({ params: { name: subcloud } });
const theNode = (_fixture: Fixture, { node }: Things): Input => ({ params: { id: node } });
const theManifest = (_fixture: Fixture, { subcloud, owner }: Things, more: object = {}): Input => ({
  params: { name: subcloud },
  body: { manifest: manifestText(subcloud, owner), ...more },
});

/** Each answer is given for a node of its own: a no would hide the Subcloud from the next to ask. */
async function anInvitation(
  fixture: Fixture,
  { owner, node }: Things,
  _person: string,
  allowed: boolean,
): Promise<Input> {
  const name = fixture.hostCloud;
  if (!allowed) return { params: { name, node } };
  const fresh = (await fixture.enrol(owner)).id;
  await fixture.admin.call('inviteMember', { params: { name }, body: { node: fresh } });
  return { params: { name, node: fresh } };
}

async function newClaim({ admin, networkId }: Fixture, { attester, node }: Things): Promise<Input> {
  const document = claimDocument(networkId, attester, node);
  const { claim } = await admin.call('createClaim', { body: { document } });
  return { params: { id: claim.id } };
}

async function newBinding({ admin, subcloud }: Fixture, { owner }: Things): Promise<Input> {
  const name = await subcloud('user:admin');
  const spec = { access: { binding: [owner] } };
  const manifest = JSON.stringify({ ...JSON.parse(manifestText(name, 'user:admin')), spec });
  await admin.call('applySubcloud', { params: { name }, body: { manifest } });
  const { items } = await admin.call('listBindings', { query: { subcloud: name } });
  return { params: { id: items[0]?.id ?? '' } };
}

export const CALLS: Readonly<Record<ControlRouteName, Call>> = {
  openapi: { ...NETWORK, input: none },
  network: { ...NETWORK, input: none },
  agentFile: { ...NETWORK, input: none },
  whoami: { ...NETWORK, input: none },
  enrol: {
    about: 'network',
    refused: 'policy.join_refused',
    input: async ({ admin, unique }, { owner }, person) => {
      const body = await enrolment(admin, owner, unique('enrolled'));
      return { body: person === 'join-token' ? body : { ...body, joinToken: 'scj_not-one' } };
    },
  },

  ...PEOPLE_CALLS,
  ...ACCOUNT_CALLS,
  ...QUOTA_CALLS,

  listNodes: { ...NETWORK, input: none },
  getNode: { ...NODE, input: theNode },
  removeNode: {
    ...NODE,
    input: async (fixture, { owner, node }, _person, allowed) => ({
      params: { id: allowed ? (await fixture.enrol(owner)).id : node },
    }),
  },
  drainNode: { ...NODE, input: (_fixture, { node }) => ({ params: { id: node }, body: {} }) },
  undrainNode: { ...NODE, input: theNode },
  whatIf: { ...NODE, input: (_fixture, { node }) => ({ params: { id: node }, body: { facts: {} } }) },
  nvidiaChallenge: { ...NODE, input: theNode },
  nvidiaAttestation: {
    ...NODE,
    input: (_fixture, { node }) => ({ params: { id: node }, body: { token: [['JWT', 'a.b.c'], {}] } }),
  },
  explainNode: {
    ...NODE,
    refused: 'hidden',
    input: ({ hostCloud }, { node }) => ({ params: { name: hostCloud, node } }),
  },

  createPrincipal: { ...NETWORK, input: ({ unique }) => ({ body: { id: `user:${unique('made')}` } }) },
  listPrincipals: { ...NETWORK, input: none },
  createKey: {
    about: 'principal',
    refused: 'forbidden',
    input: (_fixture, { owner }) => ({ body: { principal: owner } }),
  },
  listKeys: { ...NETWORK, input: none },
  revokeKey: {
    about: 'principal',
    refused: 'hidden',
    input: async ({ admin }, { owner }) => ({
      params: { id: (await admin.call('createKey', { body: { principal: owner } })).id },
    }),
  },
  createJoinToken: {
    about: 'principal',
    refused: 'forbidden',
    input: (_fixture, { owner }) => ({ body: { operator: owner } }),
  },
  listJoinTokens: { ...NETWORK, input: none },
  revokeJoinToken: {
    about: 'principal',
    refused: 'hidden',
    input: async ({ admin }, { owner }) => ({
      params: { id: (await admin.call('createJoinToken', { body: { operator: owner } })).id },
    }),
  },

  listSigningKeys: { ...NETWORK, input: none },
  rotateSigningKey: { ...NETWORK, input: () => ({ body: {} }) },
  installSigningKeyCertificate: {
    ...NETWORK,
    input: async ({ admin }) => ({ body: { certificate: (await admin.call('network')).chain.signingKeys[0] } }),
  },
  getLoad: { ...NETWORK, input: none },
  listGateways: { ...NETWORK, input: none },
  removeGateway: {
    ...NETWORK,
    input: async ({ dataDir }) => ({ params: { id: await registeredGateway(dataDir) } }),
  },
  createGatewayToken: { ...NETWORK, input: () => ({ body: {} }) },
  listGatewayTokens: { ...NETWORK, input: none },
  revokeGatewayToken: {
    ...NETWORK,
    input: async ({ admin }) => ({ params: { id: (await admin.call('createGatewayToken', { body: {} })).id } }),
  },

  // Names are unique: that one is taken cannot be hidden from who would create it.
  applySubcloud: { ...SUBCLOUD, refused: 'client.conflict', input: (f, things) => theManifest(f, things, TOO_OLD) },
  planSubcloud: { ...SUBCLOUD, refused: 'client.conflict', input: (f, things) => theManifest(f, things) },
  putDraft: { ...SUBCLOUD, input: (f, things) => theManifest(f, things) },
  getDraft: {
    ...SUBCLOUD,
    input: async (fixture, things) => {
      const name = things.subcloud;
      await fixture.admin.call('putDraft', {
        params: { name },
        body: { manifest: manifestText(name, things.owner) },
      });
      return { params: { name } };
    },
  },
  deleteDraft: { ...SUBCLOUD, input: theSubcloud },
  diffRevisions: { ...SUBCLOUD, input: theSubcloud },
  rollbackSubcloud: {
    ...SUBCLOUD,
    input: (_fixture, { subcloud }) => ({ params: { name: subcloud }, body: { revision: 1, ...TOO_OLD } }),
  },
  listSubclouds: { ...NETWORK, input: none },
  getSubcloud: { ...SUBCLOUD, input: theSubcloud },
  listRevisions: { ...SUBCLOUD, input: theSubcloud },
  deleteSubcloud: {
    ...SUBCLOUD,
    input: async (fixture, { owner, subcloud }, _person, allowed) => ({
      params: { name: allowed ? await fixture.subcloud(owner) : subcloud },
    }),
  },
  explainSubcloud: { ...SUBCLOUD, input: theSubcloud },
  listMembers: { ...SUBCLOUD, input: theSubcloud },
  inviteMember: {
    ...SUBCLOUD,
    input: ({ strangersNode }, { subcloud }) => ({ params: { name: subcloud }, body: { node: strangersNode } }),
  },
  removeMember: {
    ...SUBCLOUD,
    input: async ({ admin, strangersNode }, { subcloud }) => {
      await admin.call('inviteMember', { params: { name: subcloud }, body: { node: strangersNode } });
      return { params: { name: subcloud, node: strangersNode } };
    },
  },
  approveMember: {
    ...SUBCLOUD,
    input: ({ operatorsNode }, { subcloud }) => ({ params: { name: subcloud, node: operatorsNode } }),
  },
  denyMember: {
    ...SUBCLOUD,
    input: ({ operatorsNode }, { subcloud }) => ({ params: { name: subcloud, node: operatorsNode } }),
  },
  acceptMember: { ...NODE, input: async (...about) => ({ ...(await anInvitation(...about)), body: {} }) },
  declineMember: { ...NODE, input: anInvitation },
  createBan: {
    ...SUBCLOUD,
    input: async (fixture, { subcloud }) => ({
      params: { name: subcloud },
      body: { kind: 'node', subject: (await fixture.enrol('user:admin')).id },
    }),
  },
  listBans: { ...SUBCLOUD, input: theSubcloud },
  liftBan: {
    ...SUBCLOUD,
    input: async (fixture, { subcloud: name }) => {
      const subject = (await fixture.enrol('user:admin')).id;
      const { ban } = await fixture.admin.call('createBan', { params: { name }, body: { kind: 'node', subject } });
      return { params: { name, id: ban.id } };
    },
  },
  listInbox: { ...NETWORK, input: none },
  createToken: { ...SUBCLOUD, input: (_fixture, { subcloud }) => ({ params: { name: subcloud }, body: {} }) },
  listTokens: { ...SUBCLOUD, input: theSubcloud },
  rotateToken: {
    ...SUBCLOUD,
    input: async ({ admin }, { subcloud }) => {
      const { id } = await admin.call('createToken', { params: { name: subcloud }, body: {} });
      return { params: { name: subcloud, id }, body: {} };
    },
  },
  revokeToken: {
    ...SUBCLOUD,
    input: async ({ admin }, { subcloud }) => {
      const { id } = await admin.call('createToken', { params: { name: subcloud }, body: {} });
      return { params: { name: subcloud, id } };
    },
  },
  listBindings: { ...NETWORK, input: none },
  acceptBinding: { ...BINDING, input: newBinding },
  declineBinding: { ...BINDING, input: newBinding },
  endBinding: { ...BINDING, input: newBinding },
  applyNetwork: {
    ...NETWORK,
    input: () => ({
      body: {
        manifest: JSON.stringify({
          apiVersion: 'subcloud/v1',
          kind: 'Network',
          metadata: { name: 'global' },
          spec: {},
        }),
        ...TOO_OLD,
      },
    }),
  },

  createAttester: {
    about: 'principal',
    refused: 'forbidden',
    input: ({ unique }, { owner, attester }) => ({
      // The key of another attester: a conflict, to who may.
      body: { name: unique('a'), publicKey: attester.key.publicKey, owner, facts: ['operatorSeat'] },
    }),
  },
  listAttesters: { ...NETWORK, input: none },
  revokeAttester: {
    about: 'principal',
    refused: 'hidden',
    input: async ({ admin, unique }, { owner }) => {
      const name = unique('attester');
      const { generateSigningKey } = await import('@subcloud/kit/signing');
      const { publicKey } = generateSigningKey();
      await admin.call('createAttester', { body: { name, publicKey, owner, facts: ['operatorSeat'] } });
      return { params: { name } };
    },
  },
  createClaim: {
    ...NETWORK,
    input: ({ networkId }, { attester, node }) => ({
      body: { document: claimDocument(networkId, attester, node) },
    }),
  },
  listClaims: { ...NETWORK, input: none },
  getClaim: { about: 'principal', refused: 'hidden', input: newClaim },
  revokeClaim: { about: 'principal', refused: 'known', know: 'claim.read', input: newClaim },
  restoreClaim: { ...NETWORK, input: newClaim },

  listDomains: { ...NETWORK, input: none },
  getDomain: {
    about: 'principal',
    refused: 'hidden',
    input: async ({ admin }, { owner }) => {
      await admin.call('putDomain', { params: { name: 'PLANTS' }, body: { owner, members: ['DE'] } });
      return { params: { name: 'PLANTS' }, query: { owner } };
    },
  },
  putDomain: {
    about: 'principal',
    refused: 'forbidden',
    input: (_fixture, { owner }) => ({ params: { name: 'PLANTS' }, body: { owner, members: ['DE'] } }),
  },
  deleteDomain: {
    about: 'principal',
    refused: 'forbidden',
    input: async ({ admin }, { owner }) => {
      await admin.call('putDomain', { params: { name: 'PLANTS' }, body: { owner, members: ['DE'] } });
      return { params: { name: 'PLANTS' }, query: { owner } };
    },
  },
  getPlaces: { ...NETWORK, input: none },
  putPlaces: { ...NETWORK, input: () => ({ body: { places: [] } }) },

  getReceipt: {
    about: 'request',
    refused: 'hidden',
    input: async ({ sql, unique }, { subcloud }) => {
      const id = unique('req');
      const document = JSON.stringify({ type: 'receipt-batch', body: '', signer: '0'.repeat(64), signature: '' });
      const at = Date.now();
      await sql('insert into receipt_certificates values ($1, $2, $2, $3, $4)', [id, document, 'A'.repeat(43), at]);
      await sql('insert into receipt_batches values ($1, $2, $1, $3)', [id, document, at]);
      await sql(
        `insert into receipt_halves (request_id, side, at, principal, node_id, pool, batch, index, leaf, path)
         values ($1, 'routing', $2, 'user:sender', 'nod_0', $3, $1, 0, '{}', '[]')`,
        [id, at, subcloud],
      );
      return { params: { id } };
    },
  },
  getRequest: {
    about: 'request',
    refused: 'hidden',
    input: async ({ sql, unique }, { subcloud }) => {
      const id = unique('req');
      await sql('insert into decisions (request_id, at, principal, pool, record) values ($1, $2, $3, $4, $5)', [
        id,
        Date.now(),
        'user:sender',
        subcloud,
        JSON.stringify(decision(id, subcloud)),
      ]);
      return { params: { id } };
    },
  },
  listUsage: { ...NETWORK, input: none },
  listEvents: { ...NETWORK, input: none },
  listAudit: { ...NETWORK, input: none },
  getAuditHead: { ...NETWORK, input: none },
  readAudit: { ...NETWORK, input: none },
};

function decision(requestId: string, pool: string): object {
  return {
    requestId,
    clientRequestId: null,
    atMs: Date.now(),
    principal: 'user:sender',
    pool,
    poolBy: 'path',
    revision: 1,
    effectiveHash: null,
    tableVersion: 1,
    model: null,
    candidates: 0,
    notTaken: {},
    attempts: [],
    outcome: 'routing.no_eligible_node',
    status: 503,
    firstByteMs: null,
    durationMs: 1,
  };
}
