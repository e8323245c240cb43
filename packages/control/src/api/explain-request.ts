/**
 * Why a request went where it went. The gateway's record says what was counted and tried; which node was excluded for
 * what is computed here, for those who may see the pool's clauses. Where the table is still the one that the request was
 * routed by, or the membership is older than the request and unchanged, that is known of then; else only of now, and said.
 */
import { createHash } from 'node:crypto';
import { pseudonymFrom, pseudonymText } from '@subcloud/contract/pseudonym';
import type { requestShape } from '@subcloud/contract/routes/request-shape';
import type { DecisionRecord } from '@subcloud/contract/watch';
import { decide } from '@subcloud/policy/decide';
import type * as z from 'zod';
import type { Actor } from '../access/actor.ts';
import { may } from '../access/authorise.ts';
import { verdictsOf } from '../membership/verdicts-of.ts';
import type { NodeRecord, SubcloudRecord, World } from '../world/world.ts';
import { factsOf } from '../world/facts-of.ts';
import type { ApiContext } from './context.ts';
import { servingModels } from './views.ts';

type RequestView = z.infer<typeof requestShape>;
type NodeView = NonNullable<RequestView['nodes']>[number];

const MAX_NODES = 500;

/** The pool that the record is about, if it is still the same one: a name may have passed to another Subcloud since. */
export function poolOf(world: World, record: Pick<DecisionRecord, 'pool' | 'atMs'>): SubcloudRecord | undefined {
  const subcloud = world.subclouds.get(world.subcloudByName.get(record.pool ?? '') ?? '');
  return subcloud !== undefined && subcloud.createdAtMs <= record.atMs ? subcloud : undefined;
}

/** For who may see the pool's clauses. */
export function fullRequest(context: ApiContext, record: DecisionRecord): RequestView {
  const pool = poolOf(context.loop.world, record);
  return { ...record, nodes: pool === undefined ? null : nodesOf(context, record, pool) };
}

/** For the caller: counts without clauses, and pseudonyms. */
export function callersRequest({ loop }: ApiContext, record: DecisionRecord): RequestView {
  const pool = poolOf(loop.world, record);
  const excluded = Object.values(record.notTaken).reduce((sum, nodes) => sum + nodes, 0);
  const pseudonym = (node: string): string =>
    pool === undefined
      ? 'n-unknown'
      : pseudonymFrom(createHash('sha256').update(pseudonymText(pool.id, node)).digest('hex'));
  return {
    ...record,
    notTaken: excluded === 0 ? {} : { 'not eligible': excluded },
    attempts: record.attempts.map((attempt) => ({
      ...attempt,
      node: pseudonym(attempt.node),
      considered: attempt.considered.map(({ node, inFlight }) => ({ node: pseudonym(node), inFlight })),
    })),
    nodes: null,
  };
}

/** The admin, and the owner of the pool: why a node is not in it is theirs to know. */
export function seesNodes(world: World, actor: Actor, pool: SubcloudRecord | undefined): boolean {
  return pool === undefined
    ? may(world, actor, { kind: 'network' }, 'request.read')
    : may(world, actor, { kind: 'subcloud', subcloud: pool }, 'subcloud.explain');
}

function nodesOf(context: ApiContext, record: DecisionRecord, pool: SubcloudRecord): NodeView[] {
  const views: NodeView[] = [];
  for (const node of context.loop.world.nodes.values()) {
    const view = nodeOf(context, record, pool, node);
    if (view !== undefined) views.push(view);
    if (views.length >= MAX_NODES) break;
  }
  return views;
}

function nodeOf(
  { loop, pass, clock }: ApiContext,
  record: DecisionRecord,
  pool: SubcloudRecord,
  node: NodeRecord,
): NodeView | undefined {
  const nowMs = clock.nowMs();
  const tried = record.attempts.find((attempt) => attempt.node === node.id);
  const membership = node.memberships.get(pool.id);
  const verdict = verdictsOf(loop.world, node, nowMs, new Set([pool.id])).get(pool.id);
  if (tried === undefined && (verdict === undefined || verdict.reason === 'not invited')) return undefined;
  const serves = servingModels(pass.table, pool.name, node.id);
  const offers = record.model !== null && serves.includes(record.model);
  const drained = offers && node.drain !== undefined;
  const part = tried !== undefined ? 'tried' : offers && !drained ? 'candidate' : 'excluded';
  const unchanged =
    membership !== undefined &&
    membership.sinceMs <= record.atMs &&
    (node.drain?.sinceMs ?? 0) <= record.atMs &&
    pool.revision === record.revision &&
    offers;
  const reason =
    tried?.outcome ??
    (part === 'candidate'
      ? 'not picked'
      : drained
        ? 'draining'
        : serves.length > 0
          ? 'does not serve this model'
          : (membership?.reason ?? verdict?.reason ?? 'unknown'));
  return {
    node: node.id,
    nodeName: node.name,
    part,
    state: membership?.state ?? null,
    reason,
    failing: decide(pool.policy, factsOf(loop.world, node), nowMs)
      .clauses.filter(({ pass: passes }) => !passes)
      .map((clause) => ({ ...clause })),
    asOf: tried !== undefined || unchanged || pass.table.version === record.tableVersion ? 'then' : 'now',
  };
}
