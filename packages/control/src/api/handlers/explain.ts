import { NO_CONSENT, consentsByAccount, consentsByName, consentsToAutoJoin, refuses } from '@subcloud/policy/consent';
import { explainable, mayKnow, ownedSubcloud } from '../../access/authorise.ts';
import { decide } from '@subcloud/policy/decide';
import { indexFacts } from '@subcloud/policy/facts';
import { type NodeRecord, type SubcloudRecord, type World, isOnline } from '../../world/world.ts';
import type { Membership } from '../../membership/reconcile.ts';
import { questionOf } from '../../membership/subcloud-list.ts';
import { verdictsOf } from '../../membership/verdicts-of.ts';
import type { Actor } from '../../access/actor.ts';
import { type ApiContext, type Handlers, iso, isoOrNull } from '../context.ts';
import { consentOf } from '../../world/answers.ts';
import { overLimitCounts } from '../../store/over-limit.ts';
import { factsOf } from '../../world/facts-of.ts';
import { drainedSince, nodeWarnings, servingModels, subcloudView } from '../views.ts';

/** What limits in dry run would have refused is counted over the last day. */
const OVER_LIMIT_MS = 86_400_000;

export const explainHandlers: Pick<Handlers, 'explainNode' | 'explainSubcloud'> = {
  explainNode(context, { params }, actor) {
    const { loop, clock, pass } = context;
    const { world } = loop;
    const { subcloud, node } = explainable(actor, world, params.name, params.node);
    const facts = factsOf(world, node);
    const nowMs = clock.nowMs();
    const decision = decide(subcloud.policy, facts, nowMs);
    const membership = node.memberships.get(subcloud.id);
    const models = servingModels(pass.table, subcloud.name, node.id);
    const online = isOnline(world, node.id);
    return {
      subcloud: subcloud.name,
      node: node.id,
      revision: subcloud.revision,
      effectiveHash: subcloud.effectiveHash,
      at: iso(nowMs),
      eligible: decision.eligible,
      state: membership?.state ?? null,
      reason:
        membership?.reason ??
        verdictsOf(world, node, nowMs, new Set([subcloud.id])).get(subcloud.id)?.reason ??
        'unknown',
      since: membership === undefined ? null : iso(membership.sinceMs),
      returnsAt: isoOrNull(returnsAtMs(subcloud, membership, nowMs)),
      servesElsewhere: servesElsewhere(context, actor, node, subcloud),
      online,
      serving: online && node.drain === undefined && models.length > 0,
      ...drainedSince(node),
      consent: consentView(world, subcloud, node),
      models,
      clauses: decision.clauses.map((clause) => ({ ...clause })),
      warnings: nodeWarnings(indexFacts(facts), nowMs),
    };
  },

  async explainSubcloud({ db, loop, pass, clock }, { params }, actor) {
    const { world } = loop;
    const subcloud = ownedSubcloud(actor, world, params.name);
    const only = new Set([subcloud.id]);
    const byReason: Record<string, number> = {};
    let considered = 0;
    let offline = 0;
    let draining = 0;
    for (const node of world.nodes.values()) {
      const verdict = verdictsOf(world, node, clock.nowMs(), only).get(subcloud.id);
      if (verdict === undefined || verdict.reason === 'not invited') continue;
      considered += 1;
      const active = node.memberships.get(subcloud.id)?.state === 'active';
      if (!active) byReason[verdict.reason] = (byReason[verdict.reason] ?? 0) + 1;
      else if (!isOnline(world, node.id)) offline += 1;
      else if (node.drain !== undefined) draining += 1;
    }
    if (draining > 0) byReason['draining'] = draining;
    if (offline > 0) byReason['offline'] = offline;
    const { revision, members, models } = subcloudView(world, pass.table, subcloud);
    // A later Subcloud of a name has nothing of an earlier one.
    const sinceMs = Math.max(clock.nowMs() - OVER_LIMIT_MS, subcloud.createdAtMs);
    const overLimit = { ...(await overLimitCounts(db, subcloud.name, sinceMs)) };
    return { subcloud: subcloud.name, revision, considered, byState: members, byReason, models, overLimit };
  },
};

/** When the cooldown ends that keeps a node from returning; null where none is counting. */
function returnsAtMs(subcloud: SubcloudRecord, membership: Membership | undefined, nowMs: number): number | null {
  if (membership === undefined || membership.cooldownFromMs === null) return null;
  const endMs = membership.cooldownFromMs + subcloud.cooldownMs;
  return endMs > nowMs ? endMs : null;
}

function servesElsewhere(
  { loop, pass }: ApiContext,
  actor: Actor,
  node: NodeRecord,
  subcloud: SubcloudRecord,
): string[] {
  const { world } = loop;
  return [...world.subclouds.values()]
    .filter(({ id, name }) => id !== subcloud.id && servingModels(pass.table, name, node.id).length > 0)
    .filter((pool) => pool.owner === null || mayKnow(actor, pool, world))
    .map(({ name }) => name)
    .sort();
}

function consentView(world: World, subcloud: SubcloudRecord, node: NodeRecord): { permits: boolean; why: string } {
  const consent = consentOf(world, node);
  const answer = node.answers.get(subcloud.id);
  if (subcloud.owner === null)
    return consent.global
      ? { permits: true, why: 'global: true' }
      : { permits: false, why: node.consent === null ? 'the agent has declared nothing yet' : 'global: false' };
  const question = questionOf(subcloud, subcloud.owner);
  if (refuses(consent, subcloud.name))
    return {
      permits: false,
      why:
        answer?.answer === 'declined'
          ? `${answer.by} has declined ${subcloud.name}`
          : `consent.leave in agent.yaml names ${subcloud.name}`,
    };
  if (answer?.answer === 'accepted' && consentsByAccount(node.consent ?? NO_CONSENT, answer.isolation, question))
    return { permits: true, why: `${answer.by} has accepted ${subcloud.name}` };
  if (consentsByName(consent, question)) return { permits: true, why: `join names ${subcloud.name}` };
  const { mode, autoJoin } = subcloud.participation;
  if (mode !== 'private' && autoJoin && consentsToAutoJoin(consent, question))
    return { permits: true, why: 'autoJoin admits it' };
  const assigned = node.memberships.get(subcloud.id)?.assigned === true;
  if (assigned && node.operator === subcloud.owner) return { permits: true, why: 'operator and owner are the same' };
  if (assigned || mode === 'private')
    return {
      permits: false,
      why: `the operator has not said yes: \`subcloud member accept ${subcloud.name} ${node.name}\`, or ${subcloud.name} in consent.join of agent.yaml`,
    };
  return {
    permits: false,
    why: `consent allows autoJoin ${JSON.stringify(consent.autoJoin)} up to isolation ${consent.isolation}; this Subcloud is ${subcloud.isolation}, owned by ${subcloud.owner}`,
  };
}
