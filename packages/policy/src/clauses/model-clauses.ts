/**
 * The clauses under `models`. Each narrows the node's models further; the node is eligible when one is left. What the
 * allow-list asks of a model (digest, audit) is asked entry by entry. A node may report one id several times, once for
 * each engine: requests name the id alone, so the id passes only where every report of it does.
 */
import { canonicalJson } from '../canonical-json.ts';
import type { ModelFact } from '../fact-values.ts';
import type { IndexedFacts, Resolution } from '../facts.ts';
import { countedClaim, resolveClaim } from '../facts.ts';
import { type DeclaredApi, apiId, isApiId } from '../internal-api.ts';
import type { ModelsClause } from '../manifest.ts';
import { compileAllow } from './allow-list.ts';
import type { ClauseName, ClauseResult } from './clause.ts';
import { type CompileContext, describeRequirement, requirementsOf } from './fact-clause.ts';
import { type ModelStep, listed, narrow, optionalSteps } from './model-steps.ts';

export interface ModelPolicy {
  /** Ids of the models that pass, each once; `failing` is null when there is one. */
  readonly admits: (
    facts: IndexedFacts,
    now: number,
  ) => { readonly models: readonly string[]; readonly failing: ClauseName | null };
  readonly explain: (facts: IndexedFacts, now: number) => readonly ClauseResult[];
  /** Alias -> id. */
  readonly aliases: ReadonlyMap<string, string>;
  /** Exact ids that the list names; null: any model, or globs. */
  readonly exactIds: readonly string[] | null;
  readonly isPrivate: boolean;
  readonly reads: readonly string[];
  /** As of a node clause: equal exactly where the answer is the same for every node at every time. */
  readonly asks: string;
  /** The greatest ages that audits may have, ms: an audit grows too old by time alone. */
  readonly auditAgesMs: readonly number[];
}

/** `apis`: what a node may host instead of a model, see internal-api.ts. */
export function compileModels(
  clause: ModelsClause,
  context: CompileContext,
  apis: readonly DeclaredApi[] = [],
): ModelPolicy {
  const named = new Set(apis.map(({ name }) => apiId(name)));
  const [requirement] = requirementsOf({}, 'declared', context);
  if (requirement === undefined) throw new Error('a clause has at least one requirement');
  const { step: allow, auditAgesMs, readsAudits } = compileAllow(clause.allow, context);
  const steps: ModelStep[] = [allow, ...optionalSteps(clause)];
  const isExact = clause.allow?.every(({ id }) => !/[*?]/.test(id)) === true;
  return {
    aliases: new Map(
      (clause.allow ?? []).flatMap(({ id, alias }) => (alias === undefined ? [] : [[alias, id] as const])),
    ),
    exactIds: isExact ? (clause.allow ?? []).map(({ id }) => id) : null,
    isPrivate: clause.private,
    // Whose Subcloud it is matters to the auditors that it names, and to nothing else.
    asks: canonicalJson([clause, readsAudits ? context.owner : null, context.maxAgeMs, [...named].sort()]),
    reads: readsAudits ? ['models', 'audit'] : ['models'],
    auditAgesMs,
    admits(facts, now) {
      const claim = countedClaim(facts, 'models', requirement, now);
      if (typeof claim === 'string') return clause.dedicated ? NOT_DEDICATED : { models: NONE, failing: allow.name };
      let left = withoutApis(claim.value);
      const hosted = left === claim.value || named.size === 0 ? NONE : hostedOf(claim.value, named);
      for (const step of steps) {
        const kept = narrow(step, left, facts, now);
        if (step === allow && clause.dedicated && kept.length < left.length) return NOT_DEDICATED;
        if (kept.length === 0) {
          return hosted.length > 0 ? { models: hosted, failing: null } : { models: NONE, failing: step.name };
        }
        left = kept;
      }
      return { models: hosted.length === 0 ? idsOf(left) : [...idsOf(left), ...hosted], failing: null };
    },
    explain(facts, now) {
      const resolution = resolveClaim(facts, 'models', requirement, now);
      const origin = originOf(resolution);
      const results: ClauseResult[] = [];
      const reported = resolution.claim?.value ?? [];
      const hosted = hostedOf(reported, named);
      let left = withoutApis(reported);
      for (const step of steps) {
        const kept = narrow(step, left, facts, now);
        if (step === allow && clause.dedicated) {
          results.push(dedicatedResult(step, left, kept, resolution, facts, now));
        }
        // It is here for its API: no model is asked of it.
        const pass = kept.length > 0 || hosted.length > 0;
        const unsure = left.some((model) => step.judge(model, facts, now) === 'unknown');
        results.push({
          clause: step.name,
          pass,
          unknown: !pass && (resolution.claim === undefined || unsure),
          wanted: `${step.wanted} (${describeRequirement(requirement)})`,
          seen: seenBy(step, left, resolution, facts, now),
          ...origin,
          fix: pass ? null : step.fix(left, facts, now),
        });
        left = kept;
      }
      return results;
    },
  };
}

const NONE: readonly string[] = [];
const NOT_DEDICATED = { models: NONE, failing: 'models.dedicated' } as const;

type ModelsResolution = Resolution<'models'>;

function originOf({ claim, ageMs }: ModelsResolution): Pick<ClauseResult, 'source' | 'issuer' | 'ageMs'> {
  return { source: claim?.source ?? null, issuer: claim?.issuer ?? null, ageMs: ageMs ?? null };
}

function seenBy(
  step: ModelStep,
  left: readonly ModelFact[],
  resolution: ModelsResolution,
  facts: IndexedFacts,
  now: number,
): string {
  if (resolution.claim === undefined) return `unknown (${resolution.why})`;
  if (left.length === 0) return 'none';
  return listed(left.map((model) => step.show(model, step.judge(model, facts, now))));
}

function dedicatedResult(
  allow: ModelStep,
  offered: readonly ModelFact[],
  kept: readonly ModelFact[],
  resolution: ModelsResolution,
  facts: IndexedFacts,
  now: number,
): ClauseResult {
  const others = offered.filter((model) => !kept.includes(model));
  const isKnown = resolution.claim !== undefined;
  const pass = isKnown && others.length === 0;
  // Models that may yet turn out to be allowed ones leave it open; one that certainly is not settles it.
  const unknown = !isKnown || (!pass && others.every((model) => allow.judge(model, facts, now) !== 'fail'));
  const names = listed([...new Set(others.map(({ id }) => id))]);
  const seen = isKnown ? (pass ? 'none' : unknown ? `unknown: ${names}` : names) : `unknown (${resolution.why})`;
  return {
    clause: 'models.dedicated',
    pass,
    unknown,
    wanted: 'no model besides the allowed ones',
    seen,
    ...originOf(resolution),
    fix: pass ? null : isKnown ? `stop serving ${names} on the node` : allow.fix([], facts, now),
  };
}

/** The same list where it has none, as nearly always. */
function withoutApis(models: readonly ModelFact[]): readonly ModelFact[] {
  return models.some(({ id }) => isApiId(id)) ? models.filter(({ id }) => !isApiId(id)) : models;
}

function hostedOf(models: readonly ModelFact[], named: ReadonlySet<string>): readonly string[] {
  if (named.size === 0) return NONE;
  return idsOf(models.filter(({ id }) => named.has(id)));
}

function idsOf(models: readonly ModelFact[]): readonly string[] {
  const ids = models.map(({ id }) => id);
  return ids.length > 1 && hasRepeats(ids) ? [...new Set(ids)] : ids;
}

function hasRepeats(ids: readonly string[]): boolean {
  return ids.length > 8 ? new Set(ids).size < ids.length : ids.some((id, at) => ids.indexOf(id) !== at);
}
