/** Many policies at once decide what each of them decides alone: what is answered once for several is the same question. */
import { manyPolicies } from '@subcloud/policy/admit-many';
import { admits, compilePolicy } from '@subcloud/policy/decide';
import type { PrincipalId } from '@subcloud/policy/principal';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Claim, NodeFacts } from '@subcloud/policy/facts';
import { facts, NOW, runs, spec } from './arbitraries.ts';
import { type OracleSpec, whole } from './oracle.ts';

const OWNERS = [null, 'org:acme', 'org:birch'] as const satisfies readonly (PrincipalId | null)[];
const MAX_AGES = ['1m', '10m', '2h'] as const;

/** Clauses of two specs in every mixture, as owners with different attesters and patience would write them. */
const mixtures = fc
  .tuple(spec, spec, fc.uniqueArray(fc.constantFrom(...OWNERS), { minLength: 1 }), fc.shuffledSubarray([...MAX_AGES]))
  .map(([one, other, owners, ages]) => {
    const keys = Object.keys({ ...one.nodes, ...other.nodes }) as (keyof OracleSpec['nodes'])[];
    const swapped = (at: number): OracleSpec => {
      const key = keys[at];
      const nodes = key === undefined ? one.nodes : { ...one.nodes, [key]: other.nodes[key] ?? one.nodes[key] };
      return { ...one, nodes };
    };
    return [one, other, { ...one, models: other.models }, ...keys.map((_, at) => swapped(at))].flatMap((mixed) =>
      owners.flatMap((owner) =>
        [mixed.nodes.maxAge, ...ages].map((maxAge) =>
          compilePolicy(whole({ ...mixed, nodes: { ...mixed.nodes, maxAge } } as OracleSpec), { owner }),
        ),
      ),
    );
  });

it('of many policies each admits what it admits alone, node after node', () => {
  let differing = 0;
  fc.assert(
    fc.property(mixtures, fc.array(facts, { minLength: 1, maxLength: 3 }), (policies, nodes) => {
      const many = manyPolicies(policies);
      for (const node of [...nodes, ...nodes]) {
        const about = many.about(node, NOW);
        const told = policies.map((_, at) => about(at));
        expect(told).toEqual(policies.map((policy) => admits(policy, { ...node }, NOW)));
        if (new Set(told.map(({ failing }) => failing)).size > 1) differing += 1;
      }
    }),
    runs(150),
  );
  // Policies that all come to the same would agree with any mix-up of them.
  expect(differing).toBeGreaterThan(30);
});

it('an audit by an attester of one owner opens the list of that owner, and of no other that reads the same', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const base = { source: 'declared', issuer: 'node:nod_1', issuedAt: NOW, confirmedAt: NOW, expiresAt: null } as const;
  const weights = { id: 'm', digest, quantization: null, modalities: null, contextLength: null };
  const claims: Claim[] = [
    { ...base, id: 'clm_1', fact: 'models', value: [weights] },
    {
      ...base,
      id: 'clm_2',
      fact: 'audit',
      value: { digest },
      source: 'attested',
      issuer: 'lab',
      issuerOwner: 'org:acme',
    },
  ];
  const node: NodeFacts = { nodeId: 'nod_1', operator: 'user:op', claims, lastSeenAt: null };
  const models = { allow: [{ id: 'm', audited: { by: ['lab'] } }], dedicated: false, private: false };
  const policies = OWNERS.map((owner) => compilePolicy({ models, nodes: { maxAge: '10m' } }, { owner }));
  const about = manyPolicies(policies).about(node, NOW);
  expect(policies.map((_, at) => about(at).eligible)).toEqual([false, true, false]);
});
