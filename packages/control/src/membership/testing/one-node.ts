/** One node over time, for tests: what the store would hold, reconciled at every step. */
import assert from 'node:assert/strict';
import { type Consent, type Isolation, NO_CONSENT } from '@subcloud/policy/consent';
import { compilePolicy } from '@subcloud/policy/decide';
import type { Claim } from '@subcloud/policy/facts';
import { invited, removed } from '../by-owner.ts';
import { type Membership, type ReconcileResult, type SubcloudPolicy, reconcileNode } from '../reconcile.ts';

export const NOW = 1_800_000_000_000;
export const COOLDOWN_MS = 600_000;
export const LAB = 'sub_lab';

interface Given extends Partial<Omit<SubcloudPolicy, 'policy'>> {
  readonly keeps?: readonly string[];
  readonly tier?: string;
}

export function subcloud(name: string, { keeps, tier, ...given }: Given = {}): SubcloudPolicy {
  const policy = compilePolicy({
    models: {
      dedicated: false,
      private: keeps !== undefined,
      ...(keeps === undefined ? {} : { allow: keeps.map((id) => ({ id })) }),
    },
    nodes: { maxAge: '10m', ...(tier === undefined ? {} : { labels: { tier } }) },
  });
  return {
    id: `sub_${name}`,
    name,
    owner: 'org:acme',
    participation: { mode: 'open', autoJoin: true },
    isolation: 'shared',
    cooldownMs: COOLDOWN_MS,
    ...(keeps === undefined ? {} : { allows: keeps }),
    policy,
    ...given,
  };
}
export const GLOBAL: SubcloudPolicy = { ...subcloud('global'), id: 'global', owner: null, cooldownMs: 0 };
export function claims(tier: string, models: readonly string[]): Claim[] {
  const common = {
    id: 'c',
    source: 'declared',
    issuer: 'node:nod_1',
    issuedAt: NOW,
    confirmedAt: NOW,
    expiresAt: null,
  } as const;
  const value = models.map((id) => ({ id, digest: null, quantization: null, modalities: null, contextLength: null }));
  return [
    { ...common, fact: 'models', value },
    { ...common, fact: 'labels', value: { tier } },
  ];
}

export function world(subclouds: readonly SubcloudPolicy[], start: Partial<Consent> = {}) {
  const at = {
    subclouds,
    nowMs: NOW,
    tier: 'gold',
    models: ['m'] as readonly string[],
    consent: { ...NO_CONSENT, global: true, autoJoin: 'all', ...start } as Consent,
    drained: [] as readonly string[],
    agreed: undefined as ReadonlyMap<string, Isolation> | undefined,
    lastSeenAt: null as number | null,
    memberships: new Map<string, Membership>() as ReadonlyMap<string, Membership>,
  };
  const look = (): ReconcileResult =>
    reconcileNode({
      node: {
        id: 'nod_1',
        operator: 'user:op',
        consent: at.consent,
        facts: { nodeId: 'nod_1', operator: 'user:op', claims: claims(at.tier, at.models), lastSeenAt: at.lastSeenAt },
        drained: new Set(at.drained),
        agreed: at.agreed,
      },
      memberships: at.memberships,
      subclouds: at.subclouds,
      nowMs: at.nowMs,
      absenceCounts: true,
    });
  return {
    at,
    step(more: Partial<typeof at> = {}, afterMs = 0): ReconcileResult {
      Object.assign(at, more);
      at.nowMs += afterMs;
      const result = look();
      at.memberships = result.memberships;
      assert.deepEqual(look().changes, [], 'a second pass finds nothing to do');
      return result;
    },
    owner(word: typeof invited | typeof removed): void {
      const stored = at.memberships.get(LAB);
      const written = word === removed && stored !== undefined ? removed(stored, at.nowMs) : invited(stored, at.nowMs);
      if (written !== undefined) at.memberships = new Map(at.memberships).set(LAB, written);
    },
    lab: (): string => {
      const found = at.memberships.get(LAB);
      return found === undefined ? 'none' : `${found.state}: ${found.reason}`;
    },
  };
}
