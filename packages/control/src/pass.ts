/**
 * One reconciler pass over some nodes: memberships, then what the table may say of them, then documents. Writes before
 * it publishes, so that nothing is ever visible that a crash could take back.
 */
import { type DocumentRow, rowKey } from '@subcloud/contract/table';
import type { MemberRow } from '@subcloud/contract/table';
import { HEARTBEAT_MS } from '@subcloud/contract/link';
import type { Clock } from '@subcloud/kit/clock';
import { NO_CONSENT } from '@subcloud/policy/consent';
import type { Authority } from './authority.ts';
import { desiredPools, type DesiredMember, intersect, losesAny, sequenceNode, termsOf } from './compile/sequence.ts';
import type { PublishedTable } from './compile/published-table.ts';
import { type MembershipChange, type Membership, reconcileNode } from './membership/reconcile.ts';
import { type Exclusions, createExclusions } from './membership/exclusions.ts';
import { saveDocuments, saveMemberships } from './store/save.ts';
import type { Database } from './store/database.ts';
import type { Leases } from './watch/leases.ts';
import { type DocumentRecord, type NodeRecord, type SubcloudRecord, type World, isOnline } from './world/world.ts';

export interface PassContext {
  readonly db: Database;
  readonly world: World;
  readonly table: PublishedTable;
  readonly leases: Leases;
  readonly authority: Authority;
  readonly clock: Clock;
  /** Reserves table versions in the store before they are used. */
  readonly reserveVersions: (next: number) => Promise<void>;
  /** Gateways that node documents name. */
  readonly gatewayUrls: () => readonly { readonly id: string; readonly url: string }[];
  readonly startedAtMs: number;
}

export interface Pass {
  run(nodes: readonly string[]): Promise<void>;
  /** Nodes whose new document waits until every gateway has acknowledged what they lost, and now no longer has to. */
  released(): readonly string[];
}

export function createPass(context: PassContext): Pass {
  const { world, table, leases, clock } = context;
  const exclusions = createExclusions();
  const rowsOf = new Map<string, readonly MemberRow[]>();
  const waiting = new Set<string>();

  return {
    released: () => [...waiting].filter((id) => leases.concluded(world.nodes.get(id)?.lossVersion ?? 0)),
    async run(nodes) {
      const nowMs = clock.nowMs();
      await context.reserveVersions(table.version + 2);
      await reconcile(context, nodes, nowMs);

      const losers: NodeRecord[] = [];
      for (const id of nodes) {
        const node = world.nodes.get(id);
        const before = rowsOf.get(id) ?? [];
        const rows = node === undefined ? [] : sequence(node, before).rows;
        stageRows(context, id, node, before, rows);
        if (rows.length === 0) rowsOf.delete(id);
        else rowsOf.set(id, rows);
        if (node !== undefined && losesAny(before, rows)) losers.push(node);
        exclusions.update(id, node === undefined ? new Map() : reasonsOf(world, node, rows));
      }
      stagePools(context, exclusions);
      publish();
      for (const node of losers) node.lossVersion = table.version;

      for (const id of nodes) waiting.delete(id);
      for (const id of await issueDocuments(context, nodes, rowsOf, nowMs)) waiting.add(id);
      publish();
    },
  };

  function publish(): void {
    const delta = table.publish();
    if (delta !== undefined) leases.published(delta.version);
  }

  function sequence(node: NodeRecord, before: readonly MemberRow[]): ReturnType<typeof sequenceNode> {
    return sequenceNode(
      {
        node: node.id,
        desired: desiredOf(world, node),
        document: node.document,
        lossesConcluded: leases.concluded(node.lossVersion),
      },
      before,
    );
  }
}

async function reconcile(
  { db, world, startedAtMs }: PassContext,
  nodes: readonly string[],
  nowMs: number,
): Promise<void> {
  const results: { node: NodeRecord; memberships: ReadonlyMap<string, Membership> }[] = [];
  const changes: (MembershipChange & { node: string })[] = [];
  for (const id of nodes) {
    const node = world.nodes.get(id);
    if (node === undefined) continue;
    const result = reconcileNode({
      node: {
        id,
        operator: node.operator,
        consent: node.consent ?? NO_CONSENT,
        facts: {
          nodeId: id,
          operator: node.operator,
          claims: node.claims,
          lastSeenAt: isOnline(world, id) ? null : (node.lastSeenAtMs ?? node.enrolledAtMs),
        },
      },
      memberships: node.memberships,
      subclouds: world.subclouds.values(),
      nowMs,
      absenceCounts: nowMs - startedAtMs >= HEARTBEAT_MS,
    });
    node.verdicts = result.verdicts;
    node.dueMs = result.dueMs;
    if (result.changes.length > 0) results.push({ node, memberships: result.memberships });
    for (const change of result.changes) changes.push({ ...change, node: id });
  }
  if (changes.length === 0) return;
  await saveMemberships(db, changes, nowMs);
  for (const { node, memberships } of results) node.memberships = memberships;
}

/** What active memberships want of the node. */
export function desiredOf(world: World, node: NodeRecord): Map<string, DesiredMember> {
  const desired = new Map<string, DesiredMember>();
  for (const [subcloudId, membership] of node.memberships) {
    if (membership.state !== 'active') continue;
    const subcloud = world.subclouds.get(subcloudId);
    const verdict = node.verdicts.get(subcloudId);
    if (subcloud === undefined || verdict === undefined || !verdict.decision.eligible) continue;
    desired.set(subcloud.name, {
      models: [...verdict.decision.models].sort(),
      validUntil: verdict.decision.validUntil,
      revision: subcloud.revision,
      owner: subcloud.owner,
      isolation: subcloud.isolation,
    });
  }
  return desired;
}

function stageRows(
  { table }: PassContext,
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
  const measured = node.claims.find(({ fact, source }) => fact === 'location' && source === 'measured');
  table.stage('node', rowKey.node(id), {
    id,
    publicKey: node.publicKey,
    operator: node.operator,
    measuredAddress: measured === undefined ? null : node.address,
    concurrency: node.concurrency,
  });
  if (node.document !== undefined) table.stage('document', rowKey.document(id), documentRow(id, node.document));
}

/** Why a node is not in each pool that considers it; null where it is. */
function reasonsOf(world: World, node: NodeRecord, rows: readonly MemberRow[]): Map<string, string | null> {
  const reasons = new Map<string, string | null>();
  for (const [subcloudId, verdict] of node.verdicts) {
    const subcloud = world.subclouds.get(subcloudId);
    if (subcloud === undefined || verdict.reason === 'not invited') continue;
    const serving = rows.some(({ pool }) => pool === subcloud.name);
    const active = node.memberships.get(subcloudId)?.state === 'active';
    reasons.set(
      subcloud.name,
      serving ? null : active ? 'joining' : verdict.reason === 'joined' ? 'joining' : verdict.reason,
    );
  }
  return reasons;
}

function stagePools({ world, table }: PassContext, exclusions: Exclusions): void {
  const live = new Set<string>();
  for (const subcloud of world.subclouds.values()) {
    live.add(subcloud.name);
    stagePool(table, exclusions, subcloud);
  }
  for (const key of table.rows.keys()) {
    if (!key.startsWith('pool/')) continue;
    const name = key.slice('pool/'.length);
    if (!live.has(name)) table.stage('pool', key, undefined);
  }
}

function stagePool(table: PublishedTable, exclusions: Exclusions, subcloud: SubcloudRecord): void {
  const { candidates, excluded } = exclusions.of(subcloud.name);
  table.stage('pool', rowKey.pool(subcloud.name), {
    id: subcloud.id,
    name: subcloud.name,
    owner: subcloud.owner,
    revision: subcloud.revision,
    effectiveHash: subcloud.effectiveHash,
    isolation: subcloud.isolation,
    access: subcloud.access,
    ...(subcloud.policy.allowedModels === null ? {} : { models: [...subcloud.policy.allowedModels] }),
    candidates,
    excluded,
  });
}

async function issueDocuments(
  context: PassContext,
  nodes: readonly string[],
  rowsOf: ReadonlyMap<string, readonly MemberRow[]>,
  nowMs: number,
): Promise<string[]> {
  const { world, table } = context;
  const waiting: string[] = [];
  const issued: { node: NodeRecord; record: DocumentRecord }[] = [];
  for (const id of nodes) {
    const node = world.nodes.get(id);
    if (node === undefined) continue;
    const desired = desiredOf(world, node);
    const step = sequenceNode(
      { node: id, desired, document: node.document, lossesConcluded: context.leases.concluded(node.lossVersion) },
      rowsOf.get(id) ?? [],
    );
    if (!step.documentDiffers) continue;
    if (!step.mayIssue) {
      waiting.push(id);
      continue;
    }
    issued.push({ node, record: issue(context, node, desired, nowMs) });
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
            },
          ],
    ),
    gateways: [...context.gatewayUrls()],
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
    issuedAtMs: nowMs,
  };
}

function documentRow(node: string, record: DocumentRecord): DocumentRow {
  return { node, epoch: record.epoch, serial: record.serial, document: record.document };
}
