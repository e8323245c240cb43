/**
 * One reconciler pass over some nodes: memberships, then what the table may say of them, then documents. Writes before
 * it publishes, so that nothing is ever visible that a crash could take back.
 */
import { type DocumentRow, type MemberRow, type NodeRow, type PoolRouting, rowKey } from '@subcloud/contract/table';
import type { RoutingClause } from '@subcloud/policy/manifest';
import { modelInputs } from '@subcloud/policy/model-inputs';
import type { PrincipalId } from '@subcloud/policy/principal';
import { durationMs } from '@subcloud/policy/units';
import type { Clock } from '@subcloud/kit/clock';
import type { Authority } from './authority.ts';
import { desiredPools, type DesiredMember, intersect, losesAny, sequenceNode, termsOf } from './compile/sequence.ts';
import { poolAccess } from './compile/access-rows.ts';
import { desiredOf } from './compile/desired.ts';
import { placesOf } from './compile/node-places.ts';
import type { PublishedTable } from './compile/published-table.ts';
import { decideDue } from './decide-due.ts';
import { type Exclusions, createExclusions } from './membership/exclusions.ts';
import { saveDocuments } from './store/save.ts';
import type { Database } from './store/database.ts';
import type { Leases } from './watch/leases.ts';
import { slices } from './slices.ts';
import { bannedCallers } from './world/bans.ts';
import { notePublished } from './world/drains.ts';
import { factsOf } from './world/facts-of.ts';
import { gatewaysText } from './world/gateway-record.ts';
import type { DocumentRecord, NodeRecord, SubcloudRecord, World } from './world/world.ts';

export { desiredOf } from './compile/desired.ts';

export interface PassContext {
  readonly db: Database;
  readonly world: World;
  readonly table: PublishedTable;
  readonly leases: Leases;
  readonly authority: Authority;
  readonly clock: Clock;
  /** Reserves table versions in the store before they are used. */
  readonly reserveVersions: (next: number) => Promise<void>;
  /** Gateways that the document of this node names. */
  readonly gatewayUrls: (node: string) => readonly { readonly id: string; readonly url: string }[];
  readonly startedAtMs: number;
}

/** Subclouds to decide again for a node. Nothing else that it is a member of can have changed. */
export type Scope = 'all' | ReadonlySet<string>;

export interface Pass {
  run(due: ReadonlyMap<string, Scope>): Promise<void>;
  /** Nodes whose new document waits until every gateway has acknowledged what they lost, and now no longer has to. */
  released(): readonly string[];
}

export function createPass(context: PassContext): Pass {
  const { world, table, leases, clock } = context;
  const exclusions = createExclusions();
  const rowsOf = new Map<string, readonly MemberRow[]>();
  const waiting = new Set<string>();
  const staged: StagedPools = new Map();
  const publish = (): void => {
    const delta = table.publish();
    if (delta !== undefined) leases.published(delta.version);
  };

  return {
    released: () => [...waiting].filter((id) => leases.concluded(world.nodes.get(id)?.lossVersion ?? 0)),
    async run(due) {
      const nowMs = clock.nowMs();
      await context.reserveVersions(table.version + 2);
      const nodes = await decideDue(context, exclusions, due, nowMs);

      const losers: NodeRecord[] = [];
      const slice = slices(clock);
      for (const id of nodes) {
        if (slice.due()) await slice.pause();
        const node = world.nodes.get(id);
        const before = rowsOf.get(id) ?? [];
        const rows = node === undefined ? [] : sequence(context, node, before).rows;
        stageRows(context, id, node, before, rows);
        if (rows.length === 0) rowsOf.delete(id);
        else rowsOf.set(id, rows);
        if (node !== undefined && losesAny(before, rows)) losers.push(node);
        if (node === undefined) exclusions.forget(id);
        else exclusions.update(id, membersIn(world, node, rows));
      }
      stagePools(context, exclusions, staged);
      publish();
      for (const node of losers) node.lossVersion = table.version;
      for (const id of nodes) notePublished(world.nodes.get(id), table.version);

      for (const id of nodes) waiting.delete(id);
      for (const id of await issueDocuments(context, nodes, rowsOf, nowMs)) waiting.add(id);
      publish();
    },
  };
}

function sequence(
  { world, leases }: PassContext,
  node: NodeRecord,
  before: readonly MemberRow[],
): ReturnType<typeof sequenceNode> {
  const { id, document, lossVersion } = node;
  const lossesConcluded = leases.concluded(lossVersion);
  return sequenceNode({ node: id, desired: desiredOf(world, node), document, lossesConcluded }, before);
}

/** So that a request with an image goes to no node that cannot read it. */
function inputsOf(world: World, node: NodeRecord, nowMs: number): Pick<NodeRow, 'inputs'> {
  const inputs = modelInputs(factsOf(world, node), nowMs);
  return inputs === undefined ? {} : { inputs };
}

function stageRows(
  { table, world, clock }: PassContext,
  id: string,
  node: NodeRecord | undefined,
  before: readonly MemberRow[],
  rows: readonly MemberRow[],
): void {
  for (const { pool } of before)
    if (!rows.some((row) => row.pool === pool)) table.stage('member', rowKey.member(pool, id), undefined);
  for (const row of rows) table.stage('member', rowKey.member(row.pool, id), row);
  if (node === undefined) {
    table.stage('node', rowKey.node(id), undefined);
    table.stage('document', rowKey.document(id), undefined);
    return;
  }
  table.stage('node', rowKey.node(id), {
    id,
    publicKey: node.publicKey,
    operator: node.operator,
    // Location is measured in the change that sets the address, also where what was measured is revoked.
    measuredAddress: node.address,
    concurrency: node.concurrency,
    ...placesOf(node.claims, clock.nowMs()),
    ...(node.drain === undefined ? {} : { draining: true as const }),
    ...inputsOf(world, node, clock.nowMs()),
  });
  if (node.document !== undefined) table.stage('document', rowKey.document(id), documentRow(id, node.document));
}

/** Pools that a node is an active member of; null where the table says so and it is in service. */
function* membersIn(
  world: World,
  node: NodeRecord,
  rows: readonly MemberRow[],
): Generator<readonly [string, string | null]> {
  for (const [subcloudId, { state }] of node.memberships) {
    const name = world.subclouds.get(subcloudId)?.name;
    if (state !== 'active' || name === undefined) continue;
    yield [name, !rows.some(({ pool }) => pool === name) ? 'joining' : node.drain === undefined ? null : 'draining'];
  }
}

/** The pools that the table has, by name: what they were made of. */
type StagedPools = Map<string, { readonly subcloud: SubcloudRecord; readonly banned: string }>;

function stagePools({ world, table }: PassContext, exclusions: Exclusions, staged: StagedPools): void {
  const counted = exclusions.changed();
  const bans = bannedCallers(world);
  for (const subcloud of world.subclouds.values()) {
    const banned = bans.get(subcloud.id) ?? [];
    const bannedText = banned.join(' ');
    const before = staged.get(subcloud.name);
    const same = before?.subcloud === subcloud && before.banned === bannedText;
    if (same && !counted.has(subcloud.name)) continue;
    staged.set(subcloud.name, { subcloud, banned: bannedText });
    stagePool(table, exclusions, subcloud, banned);
  }
  for (const name of staged.keys()) {
    if (world.subcloudByName.has(name)) continue;
    table.stage('pool', rowKey.pool(name), undefined);
    exclusions.drop(name);
    staged.delete(name);
  }
}

function stagePool(
  table: PublishedTable,
  exclusions: Exclusions,
  subcloud: SubcloudRecord,
  banned: readonly PrincipalId[],
): void {
  const { candidates, excluded } = exclusions.of(subcloud.name);
  table.stage('pool', rowKey.pool(subcloud.name), {
    id: subcloud.id,
    name: subcloud.name,
    owner: subcloud.owner,
    revision: subcloud.revision,
    effectiveHash: subcloud.effectiveHash,
    isolation: subcloud.isolation,
    access: poolAccess(subcloud.access),
    ...(banned.length === 0 ? {} : { banned }),
    ...(subcloud.routing === undefined ? {} : { routing: poolRouting(subcloud.routing) }),
    ...(subcloud.reserve === undefined ? {} : { reserve: subcloud.reserve }),
    ...(subcloud.policy.models.exactIds === null ? {} : { models: [...subcloud.policy.models.exactIds] }),
    ...(subcloud.policy.models.aliases.size === 0
      ? {}
      : { aliases: Object.fromEntries(subcloud.policy.models.aliases) }),
    ...(subcloud.manifest?.spec.apis === undefined ? {} : { apis: subcloud.manifest.spec.apis }),
    candidates,
    excluded,
  });
}

/** What a gateway does by it. */
function poolRouting({ objective, retries, midstream, stallTimeout, queue }: RoutingClause): PoolRouting {
  return {
    ...(objective === undefined ? {} : { objective }),
    ...(retries === undefined ? {} : { retries }),
    ...(queue === undefined ? {} : { queue: { max: queue.max, timeoutMs: durationMs(queue.timeout) } }),
    ...(midstream === 'continue' ? { midstream } : {}),
    ...(stallTimeout === undefined ? {} : { stallTimeoutMs: durationMs(stallTimeout) }),
  };
}

async function issueDocuments(
  context: PassContext,
  nodes: Iterable<string>,
  rowsOf: ReadonlyMap<string, readonly MemberRow[]>,
  nowMs: number,
): Promise<string[]> {
  const { world, table } = context;
  const waiting: string[] = [];
  const issued: { node: NodeRecord; record: DocumentRecord }[] = [];
  const slice = slices(context.clock);
  for (const id of nodes) {
    if (slice.due()) await slice.pause();
    const node = world.nodes.get(id);
    if (node === undefined) continue;
    const step = sequence(context, node, rowsOf.get(id) ?? []);
    if (!step.documentDiffers) continue;
    if (!step.mayIssue) {
      waiting.push(id);
      continue;
    }
    issued.push({ node, record: issue(context, node, desiredOf(world, node), nowMs) });
  }
  if (issued.length > 0) {
    await saveDocuments(
      context.db,
      issued.map(({ node, record }) => ({ node: node.id, record })),
    );
    for (const { node, record } of issued) {
      node.document = record;
      table.stage('document', rowKey.document(node.id), documentRow(node.id, record));
    }
  }
  return waiting;
}

/** A document for what memberships want now. Renewal passes the old table version, since memberships did not change. */
export function issue(
  context: PassContext,
  node: NodeRecord,
  desired: ReadonlyMap<string, DesiredMember>,
  nowMs: number,
  renewal = false,
): DocumentRecord {
  const { authority, world, table } = context;
  const content = desiredPools(desired);
  const serial = (node.document?.serial ?? 0) + 1;
  const tableVersion = renewal && node.document !== undefined ? node.document.tableVersion : table.version;
  const gateways = [...context.gatewayUrls(node.id)];
  const draining = [...desired].flatMap(([pool, member]) => (member.draining === true ? [pool] : []));
  const document = authority.signNode({
    nodeId: node.id,
    nodeKey: node.publicKey,
    epoch: world.epoch,
    serial,
    tableVersion,
    memberships: [...desired].flatMap(([pool, member]) =>
      member.models.length === 0
        ? []
        : [
            {
              pool,
              models: [...member.models].sort(),
              revision: member.revision,
              owner: member.owner,
              isolation: member.isolation,
              ...(member.private === undefined ? {} : { private: member.private }),
              ...(member.accepted === undefined ? {} : { accepted: member.accepted }),
              ...(member.labels === undefined ? {} : { labels: { ...member.labels } }),
              ...(member.allows === undefined ? {} : { allows: [...member.allows] }),
            },
          ],
    ),
    ...(draining.length === 0 ? {} : { draining }),
    gateways,
  });
  const agreed = intersect(node.document?.agreed ?? new Map(), content);
  const terms = new Map([...desired].map(([pool, member]) => [pool, termsOf(member)]));
  return {
    epoch: world.epoch,
    serial,
    tableVersion,
    document,
    content,
    terms,
    agreed,
    acknowledged: false,
    gateways: gatewaysText(gateways),
    issuedAtMs: nowMs,
  };
}

function documentRow(node: string, record: DocumentRecord): DocumentRow {
  return { node, epoch: record.epoch, serial: record.serial, document: record.document };
}
