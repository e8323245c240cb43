import { describe, expect, it } from 'vitest';
import { admits, compilePolicy, decide } from './decide.ts';
import type { Claim, NodeFacts } from './facts.ts';
import { type SubcloudSpec, subcloudManifest } from './manifest.ts';

const NOW = 1_800_000_000_000;

function specOf(spec: object): SubcloudSpec {
  const manifest = { apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata: { name: 'a' }, spec };
  return subcloudManifest.parse(manifest).spec;
}
const reads = (spec: object): string[] => [...compilePolicy(specOf(spec)).reads].sort();

describe('compilePolicy', () => {
  it('reads the facts that its clauses name, and audits only where it asks for one', () => {
    expect(reads({})).toEqual(['models']);
    expect(reads({ models: { allow: [{ id: 'lab/a' }], quantization: { min: 'fp8' } } })).toEqual(['models']);
    expect(reads({ models: { allow: [{ id: 'lab/a', audited: { by: ['medcert'] } }] } })).toEqual(['audit', 'models']);
    expect(
      reads({
        nodes: {
          operators: { in: ['org:acme'] },
          location: { in: ['EU'] },
          hardware: { gpu: { count: { min: 1 } } },
          trust: { level: 'verified', stake: { min: '1 CREDIT' } },
          labels: { a: 'b' },
        },
      }),
    ).toEqual(['hardware', 'labels', 'location', 'models', 'stake', 'trustLevel']);
    expect(reads({ nodes: { operatorSeat: { in: ['DE'] }, trust: { reputation: { min: 0.5 } } } })).toEqual([
      'models',
      'operatorSeat',
      'reputation',
    ]);
  });

  it('names the domains that it rests on, each once, with their versions', () => {
    const spec = specOf({
      nodes: { location: { in: ['EU', 'CH'], notIn: ['GCC'] }, operatorSeat: { in: ['EU', 'EEA'] } },
    });
    expect(
      compilePolicy(spec)
        .domains.map(({ name }) => name)
        .sort(),
    ).toEqual(['EEA', 'EU', 'GCC']);
    for (const { version } of compilePolicy(spec).domains) expect(version).toMatch(/^\d{4}-\d\d-\d\d$/);
  });

  it('knows aliases, exact ids where the list has no other, and whether models are private', () => {
    const { models } = compilePolicy(
      specOf({ models: { allow: [{ id: 'lab/a', alias: 'helper' }, { id: 'lab/b' }], private: true } }),
    );
    expect([...models.aliases]).toEqual([['helper', 'lab/a']]);
    expect(models).toMatchObject({ exactIds: ['lab/a', 'lab/b'], isPrivate: true });
    expect(compilePolicy(specOf({ models: { allow: [{ id: 'lab/a' }, { id: 'x/*' }] } })).models.exactIds).toBeNull();
    expect(compilePolicy(specOf({})).models.exactIds).toBeNull();
  });

  it('fails closed on a maxAge that no manifest can have', () => {
    const spec = specOf({ nodes: { location: { in: ['DE'] } } });
    const policy = compilePolicy({ ...spec, nodes: { ...spec.nodes, maxAge: 'soon' } });
    const location = { candidates: [{ country: 'DE' }], evidence: '' };
    const claims = [
      {
        id: 'c',
        fact: 'location',
        value: location,
        source: 'measured',
        issuer: 'network',
        issuedAt: NOW,
        confirmedAt: NOW,
        expiresAt: null,
      },
    ] as readonly Claim[];
    const node: NodeFacts = { nodeId: 'n', operator: 'org:acme', claims, lastSeenAt: null };
    expect(admits(policy, node, NOW)).toEqual({ eligible: false, models: [], failing: 'nodes.location' });
    expect(decide(policy, node, NOW).clauses[0]).toMatchObject({ unknown: true, seen: 'unknown (stale)' });
  });
});
