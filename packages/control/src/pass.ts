/**
 * One reconciler pass over some nodes: memberships, then what the table may say of them, then documents. Writes before
 * it publishes, so that nothing is ever visible that a crash could take back.
 */
import { type DocumentRow, rowKey } from '@subcloud/contract/table';
import type { MemberRow } from '@subcloud/contract/table';
import { HEARTBEAT_MS } from '@subcloud/contract/link';
import type { Clock } from '@subcloud/kit/clock';
import { type NodeFacts, earliestExpiryMs } from '@subcloud/policy/facts';
import type { Authority } from './authority.ts';
import { desiredPools, type DesiredMember, intersect, losesAny, sequenceNode, termsOf } from './compile/sequence.ts';
import { poolAccess } from './compile/access-rows.ts';
import { desiredOf, drainedOf } from './compile/desired.ts';
import type { PublishedTable } from './compile/published-table.ts';
import { type MembershipChange, type ReconcileResult, type Verdict, reconcileNode } from './membership/reconcile.ts';
import { type Exclusions, createExclusions } from './membership/exclusions.ts';
import { saveDocuments, saveMemberships } from './store/save.ts';
import type { Database } from './store/database.ts';
import type { Leases } from './watch/leases.ts';
import { slices } from './slices.ts';
import { consentOf } from './world/answers.ts';
import { bannedFrom } from './world/bans.ts';
import { factsOf } from './world/facts-of.ts';
import type { Admitted, DocumentRecord, NodeRecord, SubcloudRecord, World } from './world/world.ts';

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
  /** Gateways that node documents name. */
  readonly gatewayUrls: () => readonly { readonly id: string; readonly url: string }[];
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
  const staged = new Map<string, SubcloudRecord>();
  const publish = (): void => {
    const delta = table.publish();
    if (delta !== undefined) leases.published(delta.version);
  };

  return {
    released: () => [...waiting].filter((id) => leases.concluded(world.nodes.get(id)?.lossVersion ?? 0)),
    async run(due) {
      const nowMs = clock.nowMs();
      await context.reserveVersions(table.version + 2);
      await reconcile(context, exclusions, due, nowMs);

      const losers: NodeRecord[] = [];
      const slice = slices(clock);
      for (const id of due.keys()) {
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

      for (const id of due.keys()) waiting.delete(id);
      for (const id of await issueDocuments(context, due.keys(), rowsOf, nowMs)) waiting.add(id);
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

type Verdicts = ReadonlyMap<string, Verdict>;

/** What a pass keeps of a decided node until it is stored. The verdicts of a whole fleet at once would fill the memory. */
interface Decided {
  readonly node: NodeRecord;
  readonly memberships: ReconcileResult['memberships'];
  readonly dueMs: number | null;
  readonly admitted: ReadonlyMap<string, Admitted>;
}

async function reconcile(
  { db, world, clock, startedAtMs }: PassContext,
  exclusions: Exclusions,
  due: ReadonlyMap<string, Scope>,
  nowMs: number,
): Promise<void> {
  const decided: Decided[] = [];
  const changes: (MembershipChange & { node: string })[] = [];
  const slice = slices(clock);
  for (const [id, scope] of due) {
    if (slice.due()) await slice.pause();
    const node = world.nodes.get(id);
    if (node === undefined) continue;
    const facts = factsOf(world, node);
    const { memberships, dueMs, verdicts, ...result } = reconcileNode({
      node: { id, operator: node.operator, consent: consentOf(world, node), facts, drained: drainedOf(node) },
      memberships: node.memberships,
      banned: bannedFrom(world, node),
      subclouds: world.subclouds.values(),
      ...(scope === 'all' ? {} : { scope }),
      nowMs,
      absenceCounts: nowMs - startedAtMs >= HEARTBEAT_MS,
    });
    exclusions.update(id, reasonsOf(world, memberships, verdicts));
    const admitted = admittedOf(world, { node, memberships, facts, verdicts, nowMs });
    decided.push({ node, memberships: result.changes.length === 0 ? node.memberships : memberships, dueMs, admitted });
    for (const change of result.changes) changes.push({ ...change, node: id });
  }
  if (changes.length > 0) await saveMemberships(db, changes, nowMs);
  for (const { node, memberships, dueMs, admitted } of decided) {
    node.dueMs = dueMs;
    node.decidedAtMs = nowMs;
    node.memberships = memberships;
    node.admitted = admitted;
  }
}

/** What active memberships admit: as decided just now, or as before where nothing was decided. */
function admittedOf(
  world: World,
  {
    node,
    memberships,
    facts,
    verdicts,
    nowMs,
  }: {
    readonly node: NodeRecord;
    readonly memberships: ReconcileResult['memberships'];
    readonly facts: NodeFacts;
    readonly verdicts: Verdicts;
    readonly nowMs: number;
  },
): ReadonlyMap<string, Admitted> {
  const admitted = new Map<string, Admitted>();
  for (const [subcloudId, { state }] of memberships) {
    const subcloud = world.subclouds.get(subcloudId);
    if (state !== 'active' || subcloud === undefined) continue;
    const decision = verdicts.get(subcloudId)?.decision;
    const models = decision === undefined ? node.admitted.get(subcloudId)?.models : decision.models;
    if (models === undefined || models.length === 0) continue;
    admitted.set(subcloudId, {
      models: decision === undefined ? models : [...models].sort(),
      validUntil: earliestExpiryMs(facts, subcloud.policy.reads, nowMs),
    });
  }
  return admitted;
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
  table.stage('node', rowKey.node(id), {
    id,
    publicKey: node.publicKey,
    operator: node.operator,
    // Location is measured in the change that sets the address, also where what was measured is revoked.
    measuredAddress: node.address,
    concurrency: node.concurrency,
  });
  if (node.document !== undefined) table.stage('document', rowKey.document(id), documentRow(id, node.document));
}

/** Why a node is no active member of the pools that were decided; undefined where it was not considered. */
function* reasonsOf(
  world: World,
  memberships: ReconcileResult['memberships'],
  verdicts: Verdicts,
): Generator<readonly [string, string | undefined]> {
  for (const [subcloudId, verdict] of verdicts) {
    const subcloud = world.subclouds.get(subcloudId);
    if (subcloud === undefined || memberships.get(subcloudId)?.state === 'active') continue;
    yield [subcloud.name, verdict.reason === 'not invited' ? undefined : verdict.reason];
  }
}

/** Pools that a node is an active member of; null where the table says so. */
function* membersIn(
  world: World,
  node: NodeRecord,
  rows: readonly MemberRow[],
): Generator<readonly [string, string | null]> {
  for (const [subcloudId, { state }] of node.memberships) {
    const name = world.subclouds.get(subcloudId)?.name;
    if (state !== 'active' || name === undefined) continue;
    yield [name, rows.some(({ pool }) => pool === name) ? null : 'joining'];
  }
}

/** `staged`: the pools that the table has, by what they were made of. */
function stagePools({ world, table }: PassContext, exclusions: Exclusions, staged: Map<string, SubcloudRecord>): void {
  const counted = exclusions.changed();
  for (const subcloud of world.subclouds.values()) {
    if (staged.get(subcloud.name) === subcloud && !counted.has(subcloud.name)) continue;
    staged.set(subcloud.name, subcloud);
    stagePool(table, exclusions, subcloud);
  }
  for (const name of staged.keys()) {
    if (world.subcloudByName.has(name)) continue;
    table.stage('pool', rowKey.pool(name), undefined);
    exclusions.drop(name);
    staged.delete(name);
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
    access: poolAccess(subcloud.access),
    ...(subcloud.policy.models.exactIds === null ? {} : { models: [...subcloud.policy.models.exactIds] }),
    ...(subcloud.policy.models.aliases.size === 0
      ? {}
      : { aliases: Object.fromEntries(subcloud.policy.models.aliases) }),
    candidates,
    excluded,
  });
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
  for (const id of nodes) {
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
