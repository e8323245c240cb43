/**
 * A fleet under events, twice: once as control keeps it (real reconciler, stored memberships, only what an event touched
 * is reconciled, and time by the due times that the reconciler gave), once by the rules of the oracle, which looks at
 * everything every time.
 */
import { hasStale } from '@subcloud/control/facts/claims';
import { invited, removed } from '@subcloud/control/membership/by-owner';
import {
  type Membership,
  type SubcloudPolicy,
  type ReconcileResult,
  reconcileNode,
} from '@subcloud/control/membership/reconcile';
import type { Consent, Isolation } from '@subcloud/policy/consent';
import { type CompiledPolicy, compilePolicy } from '@subcloud/policy/decide';
import type { Claim, NodeFacts } from '@subcloud/policy/facts';
import { GLOBAL_SPEC } from '@subcloud/policy/manifest';
import type { PrincipalId } from '@subcloud/policy/principal';
import { durationMs } from '@subcloud/policy/units';
import fc from 'fast-check';
import { NAMES, NOW, claims, facts, lastSeen, principal } from './arbitraries.ts';
import { consent, easySpec, spec, subclouds } from './arbitraries-membership.ts';
import { type Leaver, type OracleMembership, standings } from './oracle-memberships.ts';
import { byOwnersWord } from './oracle-owners-word.ts';
import { type OracleSubcloud, whole } from './oracle.ts';

export type FleetEvent =
  | { readonly type: 'claims'; readonly node: number; readonly claims: readonly Claim[] }
  | { readonly type: 'consent'; readonly node: number; readonly consent: Consent }
  | { readonly type: 'link'; readonly node: number; readonly linked: boolean }
  | { readonly type: 'time'; readonly byMs: number; readonly heartbeats: boolean }
  | { readonly type: 'revise'; readonly subcloud: number; readonly spec: OracleSubcloud['spec'] }
  /** A revision that says the same but for how much it isolates. */
  | { readonly type: 'isolate'; readonly subcloud: number; readonly isolation: Isolation }
  | { readonly type: 'create'; readonly owner: PrincipalId; readonly spec: OracleSubcloud['spec'] }
  | { readonly type: 'delete'; readonly subcloud: number }
  /** The last answers of a node in the pools that it is leaving are done. */
  | { readonly type: 'answered'; readonly node: number }
  | { readonly type: 'invite' | 'remove'; readonly node: number; readonly subcloud: number };

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const index = fc.nat(11);

export const fleetEvent: fc.Arbitrary<FleetEvent> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ type: fc.constant('claims' as const), node: index, claims }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('consent' as const), node: index, consent }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('link' as const), node: index, linked: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('time' as const),
      byMs: fc.constantFrom(1, 1_000, 600_000, 600_001, HOUR_MS, DAY_MS, 3 * DAY_MS, 7 * DAY_MS),
      heartbeats: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('revise' as const), subcloud: index, spec: fc.oneof(spec, easySpec) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('isolate' as const),
      subcloud: index,
      isolation: fc.constantFrom('shared' as const, 'isolate' as const, 'exclusive' as const, 'exclusive' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('create' as const), owner: principal, spec: fc.oneof(spec, easySpec) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('delete' as const), subcloud: index }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('answered' as const), node: index }) },
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constantFrom('invite' as const, 'remove' as const), node: index, subcloud: index }),
  },
);

export const startingFleet = fc.record({
  nodes: fc.array(fc.record({ facts, consent, lastSeen }), { minLength: 1, maxLength: 4 }),
  subclouds,
});
export type StartingFleet = typeof startingFleet extends fc.Arbitrary<infer Fleet> ? Fleet : never;

interface FleetNode extends Leaver {
  drained: ReadonlySet<string>;
  facts: NodeFacts;
  memberships: ReadonlyMap<string, Membership>;
  expected: ReadonlyMap<string, OracleMembership>;
  dueMs: number | null;
}

export interface Fleet {
  readonly nowMs: number;
  readonly nodes: readonly FleetNode[];
  readonly subclouds: readonly OracleSubcloud[];
  apply(event: FleetEvent): void;
  /** What the reconciler says of a node over the store as it is; changes nothing. */
  reconcile(node: FleetNode, order?: (all: readonly SubcloudPolicy[]) => readonly SubcloudPolicy[]): ReconcileResult;
}

function newNode(drawn: StartingFleet['nodes'][number], at: number): FleetNode {
  return {
    facts: { ...drawn.facts, nodeId: `nod_${at}`, lastSeenAt: drawn.lastSeen },
    consent: drawn.consent,
    memberships: new Map(),
    expected: new Map(),
    dueMs: null,
    drained: new Set<string>(),
  };
}

export function createFleet(start: StartingFleet): Fleet {
  let nowMs = NOW;
  let created = start.subclouds.length;
  let existing: readonly OracleSubcloud[] = start.subclouds;
  let nodes: readonly FleetNode[] = start.nodes.map(newNode);

  const reconcile: Fleet['reconcile'] = (node, order = (all) => all) =>
    reconcileNode({
      node: {
        id: node.facts.nodeId,
        operator: node.facts.operator,
        consent: node.consent,
        facts: node.facts,
        drained: node.drained,
      },
      memberships: node.memberships,
      subclouds: order([...existing.map(policyOf), GLOBAL_POLICY]),
      nowMs,
      absenceCounts: true,
    });
  /** `touched` is what control would put in its queue; the rules are asked about every node every time. */
  const settle = (touched: (node: FleetNode) => boolean): void => {
    for (const node of nodes) {
      if (touched(node)) {
        const result = reconcile(node);
        node.memberships = result.memberships;
        node.dueMs = result.dueMs;
      }
      node.expected = standings(node, existing, node.expected, nowMs);
      node.drained = new Set();
    }
  };
  const change = (at: number, more: Partial<FleetNode>): void => {
    const place = at % nodes.length;
    nodes = nodes.map((node, which) => (which === place ? { ...node, ...more } : node));
    settle((node) => node === nodes[place]);
  };
  const nodeAt = (at: number): FleetNode | undefined => nodes[at % nodes.length];
  const subcloudAt = (at: number): OracleSubcloud | undefined => existing[at % Math.max(1, existing.length)];

  const apply = (event: FleetEvent): void => {
    switch (event.type) {
      case 'claims': {
        const facts = nodeAt(event.node)?.facts;
        // Claims are drawn around NOW; in a fleet whose clock has moved they are as much later.
        const claims = event.claims.map((claim) => later(claim, nowMs - NOW));
        if (facts !== undefined) change(event.node, { facts: { ...facts, claims } });
        break;
      }
      case 'consent':
        change(event.node, { consent: event.consent });
        break;
      case 'link': {
        const facts = nodeAt(event.node)?.facts;
        if (facts === undefined || (facts.lastSeenAt === null) === event.linked) break;
        change(event.node, { facts: { ...facts, lastSeenAt: event.linked ? null : nowMs } });
        break;
      }
      case 'time': {
        nowMs += event.byMs;
        const revived = event.heartbeats
          ? nodes.filter((node) => heartbeat(node, smallestMaxAgeMs(existing), nowMs))
          : [];
        settle((node) => revived.includes(node) || (node.dueMs !== null && node.dueMs <= nowMs));
        break;
      }
      case 'revise': {
        const old = subcloudAt(event.subcloud);
        existing = existing.map((subcloud) => (subcloud === old ? { ...old, spec: event.spec } : subcloud));
        settle(() => true);
        break;
      }
      case 'isolate': {
        const old = subcloudAt(event.subcloud);
        if (old !== undefined) apply({ ...event, type: 'revise', spec: { ...old.spec, isolation: event.isolation } });
        break;
      }
      case 'create': {
        const name = NAMES.find((free) => existing.every((subcloud) => subcloud.name !== free));
        if (name === undefined) break;
        existing = [...existing, { id: `sub_${created}`, name, owner: event.owner, spec: event.spec }];
        created += 1;
        settle(() => true);
        break;
      }
      case 'delete': {
        const gone = subcloudAt(event.subcloud);
        existing = existing.filter((subcloud) => subcloud !== gone);
        settle(() => true);
        break;
      }
      case 'answered': {
        change(event.node, { drained: leaving(nodeAt(event.node), [...existing, GLOBAL_POLICY]) });
        break;
      }
      case 'invite':
      case 'remove': {
        const [node, subcloud] = [nodeAt(event.node), subcloudAt(event.subcloud)];
        if (node !== undefined && subcloud !== undefined)
          change(event.node, byOwner(event.type, node, subcloud, nowMs));
        break;
      }
    }
  };

  settle(() => true);
  return {
    get nowMs() {
      return nowMs;
    },
    get nodes() {
      return nodes;
    },
    get subclouds() {
      return existing;
    },
    apply,
    reconcile,
  };
}

function leaving(
  node: FleetNode | undefined,
  pools: readonly { readonly id: string; readonly name: string }[],
): ReadonlySet<string> {
  const draining = pools.filter(({ id }) => node?.memberships.get(id)?.state === 'draining');
  return new Set(draining.map(({ name }) => name));
}

/** What the owner's word writes to the store: an invitation, an assignment of who is in already, or a removal. */
function byOwner(
  word: 'invite' | 'remove',
  node: FleetNode,
  { id }: OracleSubcloud,
  nowMs: number,
): Pick<FleetNode, 'memberships' | 'expected'> {
  const stored = node.memberships.get(id);
  const written =
    word === 'invite' ? invited(stored, nowMs) : stored === undefined ? undefined : removed(stored, nowMs);
  const expected = byOwnersWord(word, node.expected.get(id), nowMs);
  return {
    memberships: written === undefined ? node.memberships : new Map(node.memberships).set(id, written),
    expected: expected === undefined ? node.expected : new Map(node.expected).set(id, expected),
  };
}

export const GLOBAL_POLICY: SubcloudPolicy = {
  id: 'global',
  name: 'global',
  owner: null,
  participation: GLOBAL_SPEC.participation,
  isolation: GLOBAL_SPEC.isolation,
  policy: compilePolicy(GLOBAL_SPEC),
};

const compiled = new WeakMap<OracleSubcloud, CompiledPolicy>();
export function policyOf(subcloud: OracleSubcloud): SubcloudPolicy {
  const { id, name, owner, spec: written } = subcloud;
  const policy = compiled.get(subcloud) ?? compilePolicy(whole(written), { owner: owner as PrincipalId });
  compiled.set(subcloud, policy);
  const { participation, isolation, models } = written;
  const cooldownMs = durationMs(participation.cooldown);
  const allows = models.allow?.map((entry) => entry.id);
  return { id, name, owner: owner as PrincipalId, participation, cooldownMs, isolation, allows, policy };
}

function later(claim: Claim, byMs: number): Claim {
  const expiresAt = claim.expiresAt === null ? null : claim.expiresAt + byMs;
  return { ...claim, issuedAt: claim.issuedAt + byMs, confirmedAt: claim.confirmedAt + byMs, expiresAt };
}

function smallestMaxAgeMs(subclouds: readonly OracleSubcloud[]): number {
  return Math.min(...[GLOBAL_POLICY, ...subclouds.map(policyOf)].map(({ policy }) => policy.maxAgeMs));
}

/** True: what is known of the node changes by it. */
function heartbeat(node: FleetNode, maxAgeMs: number, nowMs: number): boolean {
  if (node.facts.lastSeenAt !== null) return false;
  const revived = hasStale(node.facts, maxAgeMs, nowMs);
  node.facts = { ...node.facts, confirmedAt: nowMs };
  return revived;
}
