/** The world as the store has it, at start. */
import { consentSchema } from '@subcloud/policy/consent';
import { networkManifest, subcloudManifest } from '@subcloud/policy/manifest';
import type { PlaceRegistry } from '@subcloud/policy/place-registry';
import type { PrincipalId } from '@subcloud/policy/principal';
import { signedDocument, nodeDocument } from '@subcloud/contract/documents';
import { previousRow, tokenRow } from '../access/token-rows.ts';
import type { BindingRecord } from '../bindings/bindings.ts';
import type { Membership } from '../membership/reconcile.ts';
import { type PoolModels, drainingTerms, termsOf } from '../compile/sequence.ts';
import type { Database } from '../store/database.ts';
import { loadClaims } from '../facts/load-claims.ts';
import { globalRecord, networkRecord, subcloudRecord } from './subcloud-record.ts';
import { type DomainRecord, registryFor } from './domains.ts';
import { newDrain } from './drains.ts';
import { noShare } from './isolation-rules.ts';
import { loadPeople } from './people.ts';
import { loadAnswers, loadBans } from './load-participation.ts';
import { type DocumentRecord, GLOBAL_ID, type RetiredName, type World } from './world.ts';
import { gatewaysText, loadGateways } from './gateway-record.ts';

export async function loadWorld(db: Database): Promise<World> {
  const network = await db.selectFrom('network').select(['id', 'epoch', 'created_at']).executeTakeFirstOrThrow();
  const world: World = {
    networkId: network.id,
    epoch: network.epoch,
    nodes: new Map(),
    subclouds: new Map([[GLOBAL_ID, globalRecord(network.created_at)]]),
    subcloudByName: new Map([['global', GLOBAL_ID]]),
    retiredNames: await loadRetiredNames(db),
    credentials: new Map(),
    places: [],
    attesters: new Map(),
    audits: new Map(),
    revokedStatements: new Map(),
    domains: await loadDomains(db),
    people: await loadPeople(db),
    bindings: await loadBindings(db),
    bans: await loadBans(db),
    isolationShare: noShare(),
    gateways: await loadGateways(db),
    links: new Map(),
    unheard: new Map(),
  };
  await loadSubclouds(db, world);
  await loadNodes(db, world);
  await loadCredentials(db, world);
  const places = await db.selectFrom('places').select(['cidr', 'country', 'subdivision']).orderBy('cidr').execute();
  world.places = places.map(({ cidr, country, subdivision }) => ({
    cidr,
    country,
    ...(subdivision === null ? {} : { subdivision }),
  }));
  return world;
}

async function loadRetiredNames(db: Database): Promise<Map<string, RetiredName>> {
  const rows = await db
    .selectFrom('subclouds')
    .distinctOn('name')
    .select(['name', 'owner', 'deleted_at'])
    .where('deleted_at', 'is not', null)
    .where('owner', 'is not', null)
    .orderBy('name')
    .orderBy('deleted_at', 'desc')
    .execute();
  return new Map(
    rows.map(({ name, owner, deleted_at: deletedAtMs }) => [
      name,
      { owner: owner as PrincipalId, deletedAtMs: deletedAtMs ?? 0 },
    ]),
  );
}

async function loadDomains(db: Database): Promise<Map<string, DomainRecord>> {
  const rows = await db
    .selectFrom('domains')
    .innerJoin('domain_versions', (join) =>
      join.onRef('domain_versions.domain_id', '=', 'domains.id').onRef('domain_versions.number', '=', 'domains.number'),
    )
    .select([
      'domains.id',
      'domains.owner',
      'domains.number',
      'domain_versions.version',
      'domain_versions.title',
      'domain_versions.members',
      'domain_versions.unclear',
      'domain_versions.created_at',
      'domain_versions.created_by',
    ])
    .where('domains.deleted_at', 'is', null)
    .execute();
  return new Map(
    rows.map((row) => [
      row.id,
      {
        id: row.id,
        owner: row.owner as PrincipalId | null,
        number: row.number,
        version: row.version,
        title: row.title,
        members: row.members,
        unclear: row.unclear,
        createdAtMs: row.created_at,
        createdBy: row.created_by,
      },
    ]),
  );
}

async function loadBindings(db: Database): Promise<Map<string, BindingRecord>> {
  const rows = await db
    .selectFrom('bindings')
    .select(['id', 'subcloud_id', 'bound', 'state', 'since', 'changed_by'])
    .where('state', '!=', 'ended')
    .execute();
  return new Map(
    rows.map((row) => [
      row.id,
      {
        id: row.id,
        subcloudId: row.subcloud_id,
        bound: row.bound as BindingRecord['bound'],
        state: row.state as BindingRecord['state'],
        sinceMs: row.since,
        changedBy: row.changed_by,
      },
    ]),
  );
}

async function loadSubclouds(db: Database, world: World): Promise<void> {
  const rows = await db
    .selectFrom('subclouds')
    .innerJoin('revisions', (join) =>
      join.onRef('revisions.subcloud_id', '=', 'subclouds.id').onRef('revisions.number', '=', 'subclouds.revision'),
    )
    .select([
      'subclouds.id',
      'subclouds.owner',
      'subclouds.revision',
      'subclouds.created_at',
      'subclouds.updated_at',
      'revisions.manifest',
      'revisions.source',
    ])
    .where('subclouds.deleted_at', 'is', null)
    .where('subclouds.id', '!=', GLOBAL_ID)
    .execute();
  await loadNetworkRevision(db, world);
  const registries = new Map<PrincipalId, PlaceRegistry>();
  for (const row of rows) {
    const owner = row.owner as PrincipalId;
    const registry = registries.get(owner) ?? registryFor(world.domains.values(), owner);
    registries.set(owner, registry);
    const record = subcloudRecord(
      {
        id: row.id,
        owner,
        revision: row.revision,
        createdAtMs: row.created_at,
        updatedAtMs: row.updated_at,
        manifest: subcloudManifest.parse(row.manifest),
        source: row.source,
      },
      registry,
    );
    world.subclouds.set(record.id, record);
    world.subcloudByName.set(record.name, record.id);
  }
}

/** The first revision of the global network is the default and is in no table. */
async function loadNetworkRevision(db: Database, world: World): Promise<void> {
  const row = await db
    .selectFrom('subclouds')
    .innerJoin('revisions', (join) =>
      join.onRef('revisions.subcloud_id', '=', 'subclouds.id').onRef('revisions.number', '=', 'subclouds.revision'),
    )
    .select(['subclouds.revision', 'subclouds.created_at', 'subclouds.updated_at'])
    .select(['revisions.manifest', 'revisions.source'])
    .where('subclouds.id', '=', GLOBAL_ID)
    .executeTakeFirst();
  if (row === undefined) return;
  const { revision, created_at: createdAtMs, updated_at: updatedAtMs, source } = row;
  const manifest = networkManifest.parse(row.manifest);
  const stored = { revision, createdAtMs, updatedAtMs, manifest, source };
  world.subclouds.set(GLOBAL_ID, networkRecord(stored, registryFor(world.domains.values(), null)));
}

async function loadNodes(db: Database, world: World): Promise<void> {
  const nodes = await db
    .selectFrom('nodes')
    .select([
      'id',
      'name',
      'operator',
      'public_key',
      'enrolled_at',
      'last_seen_at',
      'told_online',
      'address',
      'agent_version',
      'declaration_serial',
      'consent',
      'concurrency',
      'drained_at',
      'drained_by',
      'drain_reason',
    ])
    .where('removed_at', 'is', null)
    .execute();
  for (const row of nodes) {
    world.nodes.set(row.id, {
      id: row.id,
      name: row.name,
      operator: row.operator as PrincipalId,
      publicKey: row.public_key,
      enrolledAtMs: row.enrolled_at,
      lastSeenAtMs: row.last_seen_at,
      toldOnline: row.told_online,
      address: row.address,
      agentVersion: row.agent_version,
      declarationSerial: row.declaration_serial,
      consent: row.consent === null ? null : consentSchema.parse(row.consent),
      concurrency: row.concurrency,
      claims: [],
      memberships: new Map(),
      answers: new Map(),
      document: undefined,
      drained: { serial: 0, pools: [] },
      admitted: new Map(),
      facts: undefined,
      confirmedAtMs: row.last_seen_at ?? 0,
      dueMs: null,
      decidedAtMs: 0,
      lossVersion: 0,
      drain: row.drained_at === null ? undefined : newDrain(row.drained_at, row.drained_by ?? '', row.drain_reason),
    });
  }
  await loadClaims(db, world);
  await loadAnswers(db, world);
  const memberships = await db
    .selectFrom('memberships')
    .select([
      'node_id',
      'subcloud_id',
      'state',
      'reason',
      'since',
      'active_since',
      'assigned',
      'cooldown_from',
      'drains_to',
    ])
    .execute();
  for (const row of memberships) {
    const node = world.nodes.get(row.node_id);
    if (node === undefined) continue;
    const membership: Membership = {
      state: row.state as Membership['state'],
      reason: row.reason,
      sinceMs: row.since,
      activeSinceMs: row.active_since,
      assigned: row.assigned,
      cooldownFromMs: row.cooldown_from,
      drainsTo: row.drains_to as Membership['drainsTo'],
    };
    (node.memberships as Map<string, Membership>).set(row.subcloud_id, membership);
  }
  const documents = await db
    .selectFrom('node_documents')
    .select(['node_id', 'epoch', 'serial', 'table_version', 'document', 'agreed', 'acknowledged', 'issued_at'])
    .execute();
  for (const row of documents) {
    const node = world.nodes.get(row.node_id);
    if (node !== undefined) node.document = documentRecord(row);
  }
}

function documentRecord(row: {
  epoch: number;
  serial: number;
  table_version: number;
  document: object;
  agreed: object;
  acknowledged: boolean;
  issued_at: number;
}): DocumentRecord {
  const document = signedDocument.parse(row.document);
  const body = nodeDocument.parse(JSON.parse(document.body));
  return {
    epoch: row.epoch,
    serial: row.serial,
    tableVersion: row.table_version,
    document,
    content: new Map(body.memberships.map(({ pool, models }) => [pool, models])),
    terms: new Map([
      ...body.memberships.map((membership): [string, string] => [membership.pool, termsOf(membership)]),
      ...drainingTerms(body.draining),
    ]),
    agreed: new Map(Object.entries(row.agreed as Record<string, string[]>)) satisfies PoolModels,
    acknowledged: row.acknowledged,
    gateways: gatewaysText(body.gateways),
    issuedAtMs: row.issued_at,
  };
}

async function loadCredentials(db: Database, world: World): Promise<void> {
  const keys = await db
    .selectFrom('account_keys')
    .select(['id', 'principal', 'hash', 'expires_at'])
    .where('revoked_at', 'is', null)
    .execute();
  for (const key of keys) {
    world.credentials.set(key.hash, {
      id: key.id,
      kind: 'account',
      principal: key.principal as PrincipalId,
      pool: null,
      expiresAt: key.expires_at,
    });
  }
  const tokens = await db
    .selectFrom('subcloud_tokens')
    .innerJoin('subclouds', 'subclouds.id', 'subcloud_tokens.subcloud_id')
    .select([
      'subcloud_tokens.id',
      'subcloud_tokens.principal',
      'subcloud_tokens.hash',
      'subcloud_tokens.expires_at',
      'subcloud_tokens.scopes',
      'subcloud_tokens.models',
      'subcloud_tokens.limits',
      'subcloud_tokens.previous_hash',
      'subcloud_tokens.previous_until',
      'subclouds.name',
    ])
    .where('subcloud_tokens.revoked_at', 'is', null)
    .where('subclouds.deleted_at', 'is', null)
    .execute();
  for (const token of tokens) {
    const row = tokenRow({ ...token, pool: token.name });
    world.credentials.set(token.hash, row);
    if (token.previous_hash !== null && token.previous_until !== null)
      world.credentials.set(token.previous_hash, previousRow(row, token.previous_until));
  }
}
