/**
 * The memberships of a pass: what the reconciler decides of the nodes that are due, one at a time and in slices, and who
 * of them gets a place in the share of nodes that auto-join may isolate. Stored before it is believed.
 */
import { absenceCounts } from './membership/absence.ts';
import { type NodeFacts, earliestExpiryMs } from '@subcloud/policy/facts';
import { agreedOf, drainedOf } from './compile/desired.ts';
import type { Exclusions } from './membership/exclusions.ts';
import { type ReconcileResult, type Share, reconcileNode } from './membership/reconcile.ts';
import { SubcloudList } from './membership/subcloud-list.ts';
import type { PassContext, Scope } from './pass.ts';
import { slices } from './slices.ts';
import { saveMemberships } from './store/save.ts';
import { consentOf } from './world/answers.ts';
import { bannedFrom } from './world/bans.ts';
import { factsOf } from './world/facts-of.ts';
import { isolationRules, noteShare, shareLimit } from './world/isolation-rules.ts';
import type { Admitted, NodeRecord, World } from './world/world.ts';

/** What a pass keeps of a decided node until it is stored. The verdicts of a whole fleet at once would fill the memory. */
interface Decided {
  readonly node: NodeRecord;
  readonly memberships: ReconcileResult['memberships'];
  readonly changes: ReconcileResult['changes'];
  readonly share: Share;
  readonly dueMs: number | null;
  readonly admitted: ReadonlyMap<string, Admitted>;
}

/**
 * Memberships of the nodes that are due, and of those that get a place in the share that auto-join may isolate; returns
 * them all, gone ones included.
 */
export async function decideDue(
  context: PassContext,
  exclusions: Exclusions,
  due: ReadonlyMap<string, Scope>,
  nowMs: number,
): Promise<ReadonlySet<string>> {
  const { db, world } = context;
  const decided = new Map<string, Decided>();
  // No change comes between two nodes of a pass, so they are all decided against the same Subclouds.
  const subclouds = new SubcloudList(world.subclouds.values());
  await decideAll(context, due, decided, (id, scope, mayTake) => {
    const decision = decide(context, exclusions, { id, scope, nowMs, mayTake, subclouds });
    if (decision !== undefined) decided.set(id, decision);
  });
  const changes = [...decided].flatMap(([node, decision]) => decision.changes.map((change) => ({ ...change, node })));
  if (changes.length > 0) await saveMemberships(db, changes, nowMs);
  for (const id of due.keys()) if (!world.nodes.has(id)) noteShare(world.isolationShare, id, 'none');
  for (const { node, memberships, share, dueMs, admitted } of decided.values()) {
    noteShare(world.isolationShare, node.id, share);
    node.dueMs = dueMs;
    node.decidedAtMs = nowMs;
    node.memberships = memberships;
    node.admitted = admitted;
  }
  return new Set([...due.keys(), ...decided.keys()]);
}

interface Decision {
  readonly id: string;
  readonly scope: Scope;
  readonly nowMs: number;
  /** A place in the share is free for this node. */
  readonly mayTake: boolean;
  readonly subclouds: SubcloudList;
}

function decide(context: PassContext, exclusions: Exclusions, decision: Decision): Decided | undefined {
  const { world, startedAtMs } = context;
  const { id, scope, nowMs, mayTake, subclouds } = decision;
  const node = world.nodes.get(id);
  if (node === undefined) return undefined;
  const facts = factsOf(world, node);
  // Who waits for a place is decided whole: which of its Subclouds wants it may not be in the scope. So is a node whose
  // time has come: it counts as decided as of now, and what has just ended elsewhere would never be looked at again.
  const isDue = node.dueMs !== null && node.dueMs <= nowMs;
  const isWhole = scope === 'all' || isDue || world.isolationShare.wants.has(id);
  /** What is said of pairs that come to nothing is counted as it is said: kept, it would fill the memory. */
  const admissions = new Map<string, readonly string[]>();
  const { memberships, dueMs, share, changes } = reconcileNode({
    node: {
      id,
      operator: node.operator,
      consent: consentOf(world, node),
      facts,
      drained: drainedOf(node),
      agreed: agreedOf(node),
    },
    memberships: node.memberships,
    banned: bannedFrom(world, node),
    subclouds,
    judged(subcloud, { reason, decision: { models } }, next) {
      if (next?.state === 'active') admissions.set(subcloud.id, models);
      else exclusions.note(id, subcloud.name, reason === 'not invited' ? undefined : reason);
    },
    ...(isWhole ? {} : { scope }),
    nowMs,
    absenceCounts: absenceCounts(world, startedAtMs, nowMs),
    isolation: isolationRules(world.subclouds, mayTake),
  });
  const admitted = admittedOf(world, { node, memberships, facts, admissions, nowMs });
  return { node, memberships: changes.length === 0 ? node.memberships : memberships, changes, share, dueMs, admitted };
}

/**
 * First everybody without a place that is not theirs already, so that every place that comes free is known; then the free
 * places go to those who want one, in the order of their ids, also to those who have waited for it and were not due.
 */
async function decideAll(
  { world, clock }: PassContext,
  due: ReadonlyMap<string, Scope>,
  decided: ReadonlyMap<string, Decided>,
  decideOne: (id: string, scope: Scope, mayTake: boolean) => void,
): Promise<void> {
  const nowMs = clock.nowMs();
  const slice = slices(clock);
  for (const [id, scope] of due) {
    if (slice.due()) await slice.pause();
    decideOne(id, scope, false);
  }
  const { counts, wants } = world.isolationShare;
  const shareNow = (id: string): Share =>
    decided.get(id)?.share ?? (counts.has(id) ? 'counts' : wants.has(id) ? 'wants' : 'none');
  const all = (share: Share): string[] =>
    [...new Set([...(share === 'wants' ? wants : counts), ...decided.keys()])].filter(
      (id) => world.nodes.has(id) && shareNow(id) === share,
    );
  if (all('wants').length === 0) return;
  // Who comes to want a place by time alone wants it from that moment, whether or not it was looked at since.
  for (const { id, dueMs } of world.nodes.values())
    if (dueMs !== null && dueMs <= nowMs && !decided.has(id)) decideOne(id, 'all', false);
  const free = Math.max(0, shareLimit(world) - all('counts').length);
  for (const id of all('wants').sort().slice(0, free)) {
    if (slice.due()) await slice.pause();
    decideOne(id, 'all', true);
  }
}

/** What active memberships admit: as decided just now, or as before where nothing was decided. */
function admittedOf(
  world: World,
  {
    node,
    memberships,
    facts,
    admissions,
    nowMs,
  }: {
    readonly node: NodeRecord;
    readonly memberships: ReconcileResult['memberships'];
    readonly facts: NodeFacts;
    /** Of active members that were decided just now. */
    readonly admissions: ReadonlyMap<string, readonly string[]>;
    readonly nowMs: number;
  },
): ReadonlyMap<string, Admitted> {
  const admitted = new Map<string, Admitted>();
  for (const [subcloudId, { state }] of memberships) {
    const subcloud = world.subclouds.get(subcloudId);
    if (state !== 'active' || subcloud === undefined) continue;
    const decided = admissions.get(subcloudId);
    const models = decided ?? node.admitted.get(subcloudId)?.models;
    if (models === undefined || models.length === 0) continue;
    admitted.set(subcloudId, {
      models: decided === undefined ? models : [...models].sort(),
      validUntil: earliestExpiryMs(facts, subcloud.policy.reads, nowMs),
    });
  }
  return admitted;
}
