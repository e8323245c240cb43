import { expect, test } from 'vitest';
import type { Claim } from '@subcloud/policy/facts';
import { withAudits } from './audits.ts';
import { type ClaimDraft, changedFacts, hasStale, staleFacts, withClaims } from './claims.ts';
import { declaredClaims } from './declared.ts';
import type { NodeDeclaration } from '@subcloud/contract/documents';

const issuer = 'node:nod_a';
const labels = (tier: string, expiresAt = 100): ClaimDraft => ({
  fact: 'labels',
  value: { tier },
  source: 'declared',
  issuer,
  expiresAt,
});
const declaration: NodeDeclaration = {
  version: 1,
  networkId: 'net_a',
  nodeId: 'nod_a',
  serial: 1,
  issuedAt: 1,
  models: [],
  labels: { tier: 'gold' },
  hardware: {
    gpus: [{ model: 'H100', driverName: 'NVIDIA H100 80GB HBM3', vramGiB: 79.6, confidential: null }],
  },
  location: { country: 'DE' },
  consent: { global: true, autoJoin: 'none', isolation: 'shared', join: [] } as unknown as NodeDeclaration['consent'],
  concurrency: null,
  agentVersion: '1',
};

test('an unchanged value keeps its claim, a changed one is a claim of its own', () => {
  const [first] = withClaims([], [labels('gold')], 1);
  const [same] = withClaims(first === undefined ? [] : [first], [labels('gold', 200)], 2);
  expect(same).toMatchObject({ id: first?.id, issuedAt: 1, confirmedAt: 2, expiresAt: 200 });
  const [other] = withClaims(same === undefined ? [] : [same], [labels('iron')], 3);
  expect(other?.id).not.toBe(first?.id);
  expect(other).toMatchObject({ issuedAt: 3, value: { tier: 'iron' } });
});

test('a revoked statement counts for nothing when it is said again, and takes the place of what was said in between', () => {
  const revoked = [{ id: 'clm_1', fact: 'labels', source: 'declared', issuer, text: '{"tier":"gold"}' }];
  expect(withClaims([], [labels('gold')], 1, revoked)).toEqual([]);
  const between = withClaims([], [labels('iron')], 2, revoked);
  expect(between).toHaveLength(1);
  expect(withClaims(between, [labels('gold')], 3, revoked)).toEqual([]);
  const elsewhere = revoked.map((statement) => ({ ...statement, issuer: 'node:nod_b' }));
  expect(withClaims([], [labels('gold')], 1, elsewhere)).toHaveLength(1);
});

test('hardware that a declaration names is a declared claim, and what it leaves unsaid is named', () => {
  const { drafts, unsaid } = declaredClaims(declaration, 9);
  expect(drafts.find(({ fact }) => fact === 'hardware')).toEqual({
    fact: 'hardware',
    value: declaration.hardware,
    source: 'declared',
    issuer,
    expiresAt: 9,
  });
  expect(unsaid).toEqual([]);
  const silent = declaredClaims({ ...declaration, hardware: null, location: null }, 9);
  expect(silent.drafts.map(({ fact }) => fact)).toEqual(['models', 'labels']);
  expect(silent.unsaid).toEqual(['location', 'hardware']);
});

test('a node has the audits of the weights that it serves and no others, and the same list where nothing changed', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const model = { id: 'm', digest, quantization: null, modalities: null, contextLength: null };
  const audit = { id: 'clm_a', fact: 'audit', value: { digest }, source: 'attested', issuer: 'medcert' } as Claim;
  const models = { id: 'clm_m', fact: 'models', value: [model], source: 'declared', issuer } as unknown as Claim;
  const audits = new Map([[digest, [audit]]]);
  const merged = withAudits(audits, [models]);
  expect(merged).toEqual([models, audit]);
  expect(withAudits(audits, merged)).toBe(merged);
  expect(withAudits(new Map(), merged)).toEqual([models]);
  expect(
    withAudits(audits, [{ ...models, value: [{ ...model, digest: null }] } as unknown as Claim, audit]),
  ).toHaveLength(1);
});

test('a heartbeat confirms measured claims and no others, and revives those that somebody took for too old', () => {
  const measured = { fact: 'location', source: 'measured', confirmedAt: 1 } as Claim;
  const declared = { fact: 'labels', source: 'declared', confirmedAt: 1 } as Claim;
  const facts = { nodeId: 'nod_a', operator: 'user:op', claims: [measured, declared], lastSeenAt: null } as const;
  expect(hasStale(facts, 60_000, 60_001)).toBe(false);
  expect([...staleFacts(facts, 60_000, 60_002)]).toEqual(['location']);
  expect(hasStale({ ...facts, confirmedAt: 2 }, 60_000, 60_002)).toBe(false);
  // While it has no link its facts do not age.
  expect(hasStale({ ...facts, lastSeenAt: 60_001 }, 60_000, 600_000)).toBe(false);
});

test('a claim that says the same for longer changes nothing, unless it had run out', () => {
  const [first, other] = withClaims([], [labels('gold', 100), { ...labels('x'), fact: 'models', value: [] }], 1);
  const before = first === undefined || other === undefined ? [] : [first, other];
  const longer = withClaims(before, [labels('gold', 200)], 2);
  expect(longer).not.toBe(before);
  expect([...changedFacts(before, longer, 50)]).toEqual([]);
  expect([...changedFacts(before, longer, 100)]).toEqual(['labels']);
  expect([...changedFacts(before, withClaims(before, [labels('iron')], 2), 50)]).toEqual(['labels']);
  expect([...changedFacts(before, before.slice(0, 1), 50)]).toEqual(['models']);
  expect([...changedFacts([], before, 50)].sort()).toEqual(['labels', 'models']);
  expect(withClaims(before, [labels('gold', 100)], 3)).toBe(before);
});
