/** One situation of one node, for tests of single transitions. */
import { type Consent, NO_CONSENT } from '@subcloud/policy/consent';
import { compilePolicy } from '@subcloud/policy/decide';
import type { Claim } from '@subcloud/policy/facts';
import type { ModelsClause, NodesClause } from '@subcloud/policy/manifest';
import type { PrincipalId } from '@subcloud/policy/principal';
import { type Membership, type ReconcileResult, type SubcloudPolicy, reconcileNode } from '../reconcile.ts';

export const NOW = 1_800_000_000_000;
export const OPEN = { mode: 'open', autoJoin: true } as const;
export const ASKED = { mode: 'open', autoJoin: false } as const;
export const PRIVATE = { mode: 'private', autoJoin: false } as const;

export interface Given
  extends Partial<Pick<SubcloudPolicy, 'participation' | 'isolation' | 'owner' | 'cooldownMs' | 'allows' | 'labels'>> {
  readonly nodes?: Partial<NodesClause>;
  readonly models?: Partial<ModelsClause>;
}

export function subcloud(name: string, given: Given = {}): SubcloudPolicy {
  const { nodes, models, owner = 'org:acme', participation = OPEN, isolation = 'shared', ...more } = given;
  const policy = compilePolicy({
    models: { dedicated: false, private: false, ...models },
    nodes: { maxAge: '10m', ...nodes },
  });
  const allows = models?.allow?.map(({ id }) => id);
  return {
    id: `sub_${name}`,
    name,
    owner,
    participation,
    isolation,
    policy,
    ...(allows === undefined ? {} : { allows }),
    ...more,
  };
}
export const GLOBAL: SubcloudPolicy = {
  ...subcloud('global'),
  id: 'global',
  owner: null,
};
export const LAB = 'sub_lab';
export const GOLD = { labels: { tier: 'gold' } };

export function claims(
  tier: string,
  more: Partial<Claim> = {},
  models: readonly string[] = ['lab/small'],
): readonly Claim[] {
  const common = { id: 'clm', source: 'declared', issuer: 'node:nod_1', issuedAt: NOW, confirmedAt: NOW } as const;
  const value = models.map((id) => ({ id, digest: null, quantization: null, modalities: null, contextLength: null }));
  return [
    { ...common, expiresAt: null, fact: 'models', value },
    { ...common, expiresAt: null, fact: 'labels', value: { tier }, ...more } as Claim,
  ];
}

export interface Situation {
  readonly consent?: Partial<Consent>;
  readonly claims?: readonly Claim[];
  readonly operator?: PrincipalId;
  readonly lastSeenAt?: number | null;
  readonly memberships?: Readonly<Record<string, Partial<Membership>>>;
  readonly nowMs?: number;
  readonly absenceCounts?: boolean;
  readonly drained?: readonly string[];
}

function membership(given: Partial<Membership>): Membership {
  const { state = 'active' } = given;
  const activeSinceMs = state === 'invited' || state === 'requested' ? null : NOW - 1_000;
  return {
    state,
    reason: 'joined',
    sinceMs: NOW - 1_000,
    activeSinceMs,
    assigned: state === 'invited',
    cooldownFromMs: null,
    drainsTo: state === 'draining' ? 'left' : null,
    ...given,
  };
}

export function reconcile(subclouds: readonly SubcloudPolicy[], given: Situation = {}): ReconcileResult {
  const operator = given.operator ?? 'user:op';
  return reconcileNode({
    node: {
      id: 'nod_1',
      operator,
      consent: { ...NO_CONSENT, global: true, autoJoin: 'all', isolation: 'isolate', ...given.consent },
      facts: {
        nodeId: 'nod_1',
        operator,
        claims: given.claims ?? claims('gold'),
        lastSeenAt: given.lastSeenAt ?? null,
      },
      drained: new Set(given.drained),
    },
    memberships: new Map(Object.entries(given.memberships ?? {}).map(([id, partial]) => [id, membership(partial)])),
    subclouds,
    nowMs: given.nowMs ?? NOW,
    absenceCounts: given.absenceCounts ?? true,
  });
}

export function states(result: ReconcileResult): Record<string, string> {
  return Object.fromEntries([...result.memberships].map(([id, { state, reason }]) => [id, `${state}: ${reason}`]));
}
