/** The facts of a node with some of them supposed to be others: what "what if" decides on. */
import type { FactName, NodeFacts } from '@subcloud/policy/facts';
import type { TestNode } from '@subcloud/policy/policy-test-schema';
import { testNodeFacts } from '@subcloud/policy/policy-tests';

/**
 * Every fact that is supposed replaces all claims of that fact; the others stay as they are. Audits are added: supposing
 * one of a digest says nothing about those of others.
 */
export function supposedFacts(facts: NodeFacts, supposed: TestNode, nowMs: number): NodeFacts {
  const { operator, claims } = testNodeFacts(supposed, nowMs);
  const replaced = new Set<FactName>(claims.map(({ fact }) => fact).filter((fact) => fact !== 'audit'));
  return {
    ...facts,
    operator: supposed.operator === undefined ? facts.operator : operator,
    claims: [...facts.claims.filter(({ fact }) => !replaced.has(fact)), ...claims],
  };
}
