/**
 * Many policies about one node after another: what several of them ask in the same words is answered once a node. Of a
 * thousand Subclouds most want a place, a GPU or a model that others want too, and a whole fleet against all of them is a
 * hundred million decisions. The answers are those of `admits`; a property shows it.
 */
import type { Outcome } from './clauses/clause.ts';
import type { ModelPolicy } from './clauses/model-clauses.ts';
import { type Admission, type CompiledPolicy, admitsNobody } from './decide.ts';
import { type NodeFacts, indexFacts } from './facts.ts';

/** Of the policy at this place of the list. */
export type AdmissionAt = (at: number) => Admission;

export interface ManyPolicies {
  /** For one node at one time. What an earlier call returned is of no use after it. */
  about(facts: NodeFacts, now: number): AdmissionAt;
}

const OUTCOMES: readonly Outcome[] = ['pass', 'fail', 'unknown'];
const NOT_ASKED = 0;
const PASS = 1;

export function manyPolicies(policies: readonly CompiledPolicy[]): ManyPolicies {
  const clauses = distinct(policies.flatMap(({ nodeClauses }) => nodeClauses));
  const models = distinct(policies.map((policy) => policy.models));
  const compiled = policies.map(({ nodeClauses, models: ofModels }) => ({
    clauses: nodeClauses.map(({ asks }) => clauses.at.get(asks) ?? -1),
    models: models.at.get(ofModels.asks) ?? -1,
  }));
  const outcomes = new Uint8Array(clauses.all.length);
  const admitted: (Admission | undefined)[] = models.all.map(() => undefined);

  return {
    about(facts, now) {
      const indexed = indexFacts(facts);
      outcomes.fill(NOT_ASKED);
      admitted.fill(undefined);
      const passes = (clause: number): boolean => {
        const known = outcomes[clause];
        if (known !== NOT_ASKED) return known === PASS;
        const outcome = clauses.all[clause]?.admits(indexed, now) ?? 'unknown';
        outcomes[clause] = PASS + OUTCOMES.indexOf(outcome);
        return outcome === 'pass';
      };
      const ofModels = (at: number): Admission => {
        const known = admitted[at];
        if (known !== undefined) return known;
        const asked: ModelPolicy | undefined = models.all[at];
        if (asked === undefined) throw new RangeError('no such models clause');
        const { models: ids, failing } = asked.admits(indexed, now);
        return (admitted[at] = failing === null ? { eligible: true, models: ids, failing } : admitsNobody(failing));
      };
      return (at) => {
        const policy = compiled[at];
        if (policy === undefined) throw new RangeError('no such policy');
        const failing = policy.clauses.find((clause) => outcomes[clause] !== PASS && !passes(clause));
        if (failing === undefined) return ofModels(policy.models);
        const name = clauses.all[failing]?.name;
        if (name === undefined) throw new RangeError('no such clause');
        return admitsNobody(name);
      };
    },
  };
}

/** One of each that asks the same, and the place of each question among them. */
function distinct<Asking extends { readonly asks: string }>(
  asking: readonly Asking[],
): { readonly all: readonly Asking[]; readonly at: ReadonlyMap<string, number> } {
  const all: Asking[] = [];
  const at = new Map<string, number>();
  for (const each of asking) {
    if (at.has(each.asks)) continue;
    at.set(each.asks, all.length);
    all.push(each);
  }
  return { all, at };
}
