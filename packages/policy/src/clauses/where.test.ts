import { describe, expect, it } from 'vitest';
import { type Claim, type NodeFacts, indexFacts } from '../facts.ts';
import { whereClause } from './where.ts';

const NOW = 1_000_000_000;
const CONTEXT = { owner: null, maxAgeMs: 600_000 };

function claim(fact: Claim['fact'], value: unknown, over: Partial<Claim> = {}): Claim {
  return {
    id: `clm_${fact}_${over.source ?? 'measured'}`,
    fact,
    value,
    source: 'measured',
    issuer: 'network',
    issuedAt: NOW - 60_000,
    confirmedAt: NOW - 60_000,
    expiresAt: null,
    ...over,
  } as Claim;
}

function judged(text: string, claims: readonly Claim[]) {
  const clause = whereClause(text, CONTEXT);
  const facts: NodeFacts = { nodeId: 'nod_1', operator: 'org:acme', claims, lastSeenAt: null };
  const indexed = indexFacts(facts);
  return { clause, outcome: clause.admits(indexed, NOW), told: clause.explain(indexed, NOW) };
}

describe('nodes.where', () => {
  it('passes, fails and says what it saw, from whom and how old', () => {
    const labels = claim(
      'labels',
      { rack: 'r3', floor: '2' },
      { source: 'declared', issuer: 'node:nod_1', issuedAt: NOW - 90_000 },
    );
    const uptime = claim('uptime30d', 0.999);
    const { outcome, told, clause } = judged('node.labels.rack != "r7" && node.uptime.d30 > 0.99', [labels, uptime]);
    expect(outcome).toBe('pass');
    expect(clause.reads).toEqual(['labels', 'uptime30d']);
    expect(told).toEqual({
      clause: 'nodes.where',
      pass: true,
      unknown: false,
      wanted: 'node.labels.rack != "r7" && node.uptime.d30 > 0.99',
      seen: 'node.labels.rack = "r3", node.uptime.d30 = 0.999',
      source: 'declared',
      issuer: 'node:nod_1, network',
      ageMs: 90_000,
      fix: null,
    });
    expect(judged('node.labels.rack == "r7"', [labels]).told).toMatchObject({
      pass: false,
      unknown: false,
      seen: 'node.labels.rack = "r3"',
      fix: 'a node whose node.labels makes the expression true',
    });
  });

  it('is unknown where a fact is not known, and says which and what would do', () => {
    const { outcome, told } = judged('node.uptime.d30 > 0.99', [
      claim('uptime30d', 1, { source: 'declared', issuer: 'node:nod_1' }),
    ]);
    expect(outcome).toBe('unknown');
    expect(told).toMatchObject({
      pass: false,
      unknown: true,
      seen: 'node.uptime.d30 unknown (too weak a source)',
      source: null,
      fix: 'let it be known: uptime30d (measured or stronger)',
    });
  });

  it('decides without what is not known where && and || can', () => {
    expect(judged('node.operator == "org:acme" || node.uptime.d30 > 0.99', []).outcome).toBe('pass');
    expect(judged('node.operator == "org:other" && node.uptime.d30 > 0.99', []).outcome).toBe('fail');
  });

  it('reads enrolment without any claim', () => {
    const { told, clause } = judged('node.operator == "org:acme" && node.id != "nod_2"', []);
    expect(clause.reads).toEqual([]);
    expect(told).toMatchObject({ pass: true, source: 'enrolment', issuer: 'network', ageMs: null });
  });

  it.each<readonly [string, readonly Claim[]]>([
    [
      'node.location.country == "DE"',
      [claim('location', { candidates: [{ country: 'DE' }, { country: 'FR' }], evidence: '' })],
    ],
    ['node.location.country == "DE"', [claim('location', { candidates: [], evidence: '' })]],
    [
      'node.location.country == "DE"',
      [claim('location', { candidates: [{ country: 'DE' }], evidence: '' }, { source: 'declared' })],
    ],
    ['node.location.subdivision == "DE-BY"', [claim('location', { candidates: [{ country: 'DE' }], evidence: '' })]],
    ['node.operatorSeat.country == "DE"', [claim('operatorSeat', { country: 'DE' })]],
    ['node.gpu.count == 1', [claim('hardware', { gpus: [gpu('H100')] }, { source: 'declared' })]],
    ['node.gpu.models == ["H100"]', [claim('hardware', { gpus: [gpu(null)] })]],
    ['node.gpu.confidential', [claim('hardware', { gpus: [gpu('H100')] })]],
    ['node.trust.stake.amount > 1.0', [claim('stake', 'a lot')]],
    ['node.uptime.d30 > 0.1', [claim('uptime30d', 0.9, { confirmedAt: NOW - 600_001 })]],
    ['node.uptime.d30 > 0.1', [claim('uptime30d', 0.9), claim('uptime30d', 0.8, { id: 'other' })]],
  ])('%s is unknown of what is too weak, unclear, stale or contradicted', (text, claims) => {
    expect(judged(text, claims).outcome).toBe('unknown');
  });

  it.each<readonly [string, readonly Claim[]]>([
    [
      'node.location.country == "DE"',
      [claim('location', { candidates: [{ country: 'DE', subdivision: 'DE-BY' }, { country: 'DE' }], evidence: '' })],
    ],
    ['node.operatorSeat.country == "DE"', [claim('operatorSeat', { country: 'DE' }, { source: 'attested' })]],
    [
      'node.gpu.models == ["H100"] && node.gpu.count == 1 && node.gpu.vramGiB[0] > 79.0',
      [claim('hardware', { gpus: [gpu('H100')] }, { source: 'attested' })],
    ],
    ['!node.gpu.confidential', [claim('hardware', { gpus: [] })]],
    ['node.trust.stake.amount >= 1000.0 && node.trust.stake.unit == "CREDIT"', [claim('stake', '1000.5 CREDIT')]],
    [
      'node.trust.level in ["verified", "audited"] && node.trust.reputation > 0.9',
      [claim('trustLevel', 'verified'), claim('reputation', 0.95)],
    ],
  ])('%s passes', (text, claims) => {
    expect(judged(text, claims).outcome).toBe('pass');
  });

  it('is not compiled when it is no expression', () => {
    expect(() => whereClause('node.nope', CONTEXT)).toThrow('there is no node.nope');
  });
});

function gpu(model: string | null) {
  return { model, driverName: 'a card', vramGiB: 79.6, confidential: null };
}
