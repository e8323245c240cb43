/** What is looked at as a whole: memberships by rules that are not control's, the locks by the real lock, and the end of a run. */
import { desiredOf } from '@subcloud/control/compile/desired';
import type { NodeRecord } from '@subcloud/control/world/world';
import type { PrincipalId } from '@subcloud/policy/principal';
import { eligibility, operatorLetsAutoJoin, operatorNames, ownerSaysYes } from '../oracle.ts';
import { saysYes } from '../oracle-memberships.ts';
import type { OracleNode, OracleSubcloud } from '../oracle.ts';
import type { SimulatedAgent } from './agent.ts';
import type { SimulatedControl } from './control.ts';
import { type Masks, setsOf, textOf } from './masks.ts';
import type { Network } from './witness.ts';

const HELD: ReadonlySet<string> = new Set(['active', 'suspended', 'draining']);
/** Nothing is wrong with a membership but that an exclusive Subcloud waits for others to end. */
const WAITS: ReadonlySet<string> = new Set(['in others', 'leaving others']);

/** Nothing is taken from what was kept. */
export function wholeLook({ control, gateways, agents }: Network, masks: Masks, published: number): void {
  for (const gateway of gateways) {
    const offered = gateway.offers().reduce((all, offer) => all | masks.bit(offer), 0);
    if (offered !== masks.offered(gateway)) throw new Error(`what ${gateway.id} offers was kept wrong`);
  }
  for (const [index, agent] of agents.entries()) {
    const { has, serves, alone, isolating } = setsOf(agent, index, agent.inForce());
    const kept = masks.of(index);
    if (kept.has === has && kept.serves === serves && kept.alone === alone && kept.isolating === isolating) continue;
    throw new Error(`what ${agent.id} accepts was kept wrong`);
  }
  let rows = 0;
  for (const [key, json] of control?.context.table.rows ?? []) {
    if (!key.startsWith('member/')) continue;
    const { pool, node, models } = JSON.parse(json) as { pool: string; node: string; models: string[] };
    for (const model of models) rows |= masks.bit({ node, pool, model });
  }
  if (control !== undefined && rows !== published) throw new Error('what the table has was kept wrong');
}

/** The real lock lets through what its document lists and its operator permits, and nothing else. */
export function lockHolds(agent: SimulatedAgent, pool: string, model: string): boolean {
  const accepted = agent.serves(pool, model);
  const listed = agent.inDocument(pool, model);
  if (accepted !== (listed && operatorPermits(agent, pool)))
    throw new Error(`the lock of ${agent.id} says ${String(accepted)} to ${pool} ${model}`);
  return accepted;
}

function operatorPermits(agent: SimulatedAgent, pool: string): boolean {
  const { consent } = agent.settings;
  if (pool === 'global') return consent.global;
  const terms = agent.document?.memberships.find((one) => one.pool === pool);
  if (terms === undefined || terms.owner === null) return false;
  const rules: OracleSubcloud = {
    id: '',
    name: pool,
    owner: terms.owner,
    spec: {
      models: {},
      nodes: {},
      participation: { mode: 'open', autoJoin: true, cooldown: '0s' },
      isolation: terms.isolation,
    },
  };
  const facts = { nodeId: agent.id, operator: agent.operator, claims: [], lastSeenAt: null };
  const node = { consent, facts };
  if (consent.leave?.includes(pool) === true) return false;
  return agent.operator === terms.owner || operatorNames(node, rules) || operatorLetsAutoJoin(node, rules);
}

/** What is signed is signed for an active, eligible and consenting member, by rules that are not control's. */
export function isMember(control: SimulatedControl, record: NodeRecord, pool: string, nowMs: number): void {
  const subcloud = control.world.subclouds.get(control.world.subcloudByName.get(pool) ?? '');
  const membership = record.memberships.get(subcloud?.id ?? '');
  const node = oracleNode(control, record);
  if (subcloud === undefined || membership?.state !== 'active' || node === undefined)
    throw new Error(`a document of ${record.id} has ${pool}, where it is no active member`);
  const rules = oracleSubcloud(control, subcloud.id);
  const agreed =
    rules === undefined
      ? node.consent.global
      : saysYes(node, rules, membership.assigned) && ownerSaysYes(rules, membership.assigned);
  const eligible = eligibility(rules?.spec ?? { models: {}, nodes: {} }, node.facts, nowMs, rules?.owner).eligible;
  if (!agreed || !eligible) throw new Error(`a document of ${record.id} has ${pool}, against the rules`);
}

/** Memberships, after a pass: whom an isolating Subcloud holds is not in the global network, and who is alone is alone. */
export function isolationKept(
  { world }: SimulatedControl,
  agents: readonly SimulatedAgent[],
  agreed: ReadonlyMap<string, string>,
  seen: { held: number; draining: number },
): void {
  for (const { id } of agents) {
    const memberships = world.nodes.get(id)?.memberships;
    for (const subcloud of world.subclouds.values()) {
      const state = memberships?.get(subcloud.id)?.state;
      if (subcloud.isolation === 'exclusive' && state === 'active') {
        // One that became exclusive before it, and has waited since, was never agreed to as such: it holds nothing (0026).
        const waits = (other: string, reason: string): boolean =>
          WAITS.has(reason) && agreed.get(`${world.subclouds.get(other)?.name}/${id}`) !== 'exclusive';
        const others = [...(memberships ?? [])].filter(
          ([other, { state: theirs, reason }]) =>
            other !== subcloud.id && HELD.has(theirs) && !(theirs === 'suspended' && waits(other, reason)),
        );
        if (others.length > 0) throw new Error(`${id} is in ${String(others[0]?.[0])} beside ${subcloud.name} alone`);
      }
      if (subcloud.isolation !== 'isolate' || !HELD.has(state ?? 'left')) continue;
      seen.held += 1;
      if (state === 'draining') seen.draining += 1;
      // What no document ever had it isolate is not isolated while it ends.
      if (state === 'draining' && agreed.get(`${subcloud.name}/${id}`) !== 'isolate') continue;
      // Who finishes its last answers there, on the way to an exclusive Subcloud, serves nothing there any more.
      if ((memberships?.get('global')?.state ?? 'draining') !== 'draining')
        throw new Error(`${id} is in the global network, held by ${subcloud.name}`);
    }
  }
}

/** Everything was delivered: nothing is left to do. */
export function settled({ control, gateways, agents }: Network): void {
  if (control?.ready !== true) throw new Error('nobody leads though nothing stands in the way');
  const { world, context } = control;
  const desired = [...world.nodes.values()].flatMap((node) =>
    [...desiredOf(world, node)].map(([pool, member]) => ({ node: node.id, pool, ...member })),
  );
  const published = [...context.table.rows.keys()].filter((key) => key.startsWith('member/'));
  const wanted = desired.flatMap(({ node, pool, models, cut }) =>
    models.length > 0 || cut === true ? [`member/${pool}/${node}`] : [],
  );
  expectSame('table and memberships', published.toSorted(), wanted.toSorted());
  const drained = [...world.nodes.values()].flatMap(({ id, drain }) => (drain === undefined ? [] : [id]));
  const inService = desired.filter(({ node }) => !drained.includes(node));
  const offers = inService.flatMap(({ node, pool, models }) => models.map((model) => textOf({ node, pool, model })));
  for (const gateway of gateways) {
    if (!gateway.live()) throw new Error(`${gateway.id} has no lease though everything was delivered`);
    expectSame(`versions of ${gateway.id} and control`, [gateway.table.version], [context.table.version]);
    expectSame(`nodes out of service by ${gateway.id}`, [...gateway.table.draining].toSorted(), drained.toSorted());
    expectSame(`offers of ${gateway.id} and memberships`, gateway.offers().map(textOf).toSorted(), offers.toSorted());
  }
  for (const agent of agents) {
    const node = world.nodes.get(agent.id);
    expectSame(
      `document of ${agent.id}`,
      [agent.position.epoch, agent.position.serial],
      [node?.document?.epoch, node?.document?.serial],
    );
    const states = [...(node?.memberships.values() ?? [])].map(({ state }) => state);
    if (states.includes('draining')) throw new Error(`${agent.id} is draining though it has nothing in flight`);
    expectSame(`consent of ${agent.id}`, [node?.consent], [agent.settings.consent]);
    for (const { pool, models } of agent.document?.memberships ?? []) {
      if (models.every((model) => agent.serves(pool, model) && agent.settings.models.includes(model))) continue;
      throw new Error(`${agent.id} is in ${pool} with what it does not serve there, though all was delivered`);
    }
  }
}

function oracleNode({ world }: SimulatedControl, record: NodeRecord): OracleNode | undefined {
  if (record.consent === null) return undefined;
  const linked = (world.links.get(record.id)?.length ?? 0) > 0;
  const lastSeenAt = linked ? null : (record.lastSeenAtMs ?? record.enrolledAtMs);
  const { id: nodeId, operator, claims, confirmedAtMs: confirmedAt } = record;
  return { consent: record.consent, facts: { nodeId, operator, claims, lastSeenAt, confirmedAt } };
}

function oracleSubcloud({ world }: SimulatedControl, id: string): OracleSubcloud | undefined {
  const record = world.subclouds.get(id);
  if (record?.manifest === null || record === undefined || record.owner === null) return undefined;
  return { id, name: record.name, owner: record.owner satisfies PrincipalId, spec: record.manifest.spec };
}

function expectSame(what: string, is: readonly unknown[], should: readonly unknown[]): void {
  if (JSON.stringify(is) === JSON.stringify(should)) return;
  throw new Error(`${what} differ after everything was delivered: ${JSON.stringify(is)} and ${JSON.stringify(should)}`);
}
