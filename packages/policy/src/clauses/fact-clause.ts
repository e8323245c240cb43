/**
 * A clause that reads one fact: where the fact may come from, and what is asked of its value. Everything about sources,
 * issuers, age and contradiction is decided here, once for all of them.
 */
import { canonicalJson } from '../canonical-json.ts';
import type { PrincipalId } from '../principal.ts';
import type { FactName, FactValues } from '../fact-values.ts';
import type { ClaimSource, IndexedFacts, Resolution } from '../facts.ts';
import { type Requirement, type Unknown, countedClaim, resolveClaim } from '../facts.ts';
import type { ClauseName, ClauseResult, NodeClause, Outcome } from './clause.ts';

/** What a manifest may say of any clause. */
export interface ClauseProvenance {
  readonly source?: ClaimSource | readonly ClaimSource[] | undefined;
  readonly by?: readonly string[] | undefined;
}

export interface CompileContext {
  /** Owner of the Subcloud: what its own attesters say counts here. Null: the network's. */
  readonly owner: PrincipalId | null;
  /** Measured facts older than this are unknown. */
  readonly maxAgeMs: number;
}

export interface FactClause<Fact extends FactName> {
  readonly name: ClauseName;
  readonly fact: Fact;
  readonly defaultSource: ClaimSource;
  readonly provenance: ClauseProvenance;
  readonly wanted: string;
  /** All that `judge` depends on besides the value, as JSON. */
  readonly asks: unknown;
  readonly judge: (value: FactValues[Fact]) => Outcome;
  readonly show: (value: FactValues[Fact]) => string;
  /** What would make the value pass; undefined: a value that nobody knows yet. */
  readonly fix: (value: FactValues[Fact] | undefined) => string;
}

export function factClause<Fact extends FactName>(clause: FactClause<Fact>, context: CompileContext): NodeClause {
  const requirements = requirementsOf(clause.provenance, clause.defaultSource, context);
  const wanted = `${clause.wanted} (${requirements.map(describeRequirement).join(', and ')})`;
  const { source, by } = clause.provenance;
  // Whose Subcloud it is matters to the issuers that it names, and to nothing else.
  const owner = by === undefined ? null : context.owner;
  return {
    name: clause.name,
    asks: canonicalJson([clause.name, clause.asks, source, by, owner, context.maxAgeMs]),
    reads: [clause.fact],
    admits(facts, now) {
      for (const requirement of requirements) {
        const claim = countedClaim(facts, clause.fact, requirement, now);
        if (typeof claim === 'string') return 'unknown';
        const outcome = clause.judge(claim.value);
        if (outcome !== 'pass') return outcome;
      }
      return 'pass';
    },
    explain(facts, now) {
      let last: ClauseResult | undefined;
      for (const requirement of requirements) {
        last = explainOne(clause, requirement, wanted, facts, now);
        if (!last.pass) return last;
      }
      if (last === undefined) throw new Error('a clause has at least one requirement');
      return last;
    },
  };
}

/** One requirement a source that is asked for; without any, the clause's default. */
export function requirementsOf(
  { source, by }: ClauseProvenance,
  defaultSource: ClaimSource,
  context: CompileContext,
): readonly Requirement[] {
  const common = { by: by === undefined ? null : new Set(by), owner: context.owner, maxAgeMs: context.maxAgeMs };
  if (source === undefined || typeof source === 'string')
    return [{ ...common, source: source ?? defaultSource, exact: false }];
  return source.map((each) => ({ ...common, source: each, exact: true }));
}

/** What would make a fact known that is not. */
function remedy(fact: FactName, why: Unknown): string {
  switch (why) {
    case 'no claim':
    case 'too weak a source':
    case 'no accepted issuer':
      return `have ${fact} known`;
    case 'expired':
    case 'stale':
      return `have ${fact} confirmed anew`;
    case 'claims disagree':
      return `withdraw the claims about ${fact} that are wrong, leaving those that agree`;
    case 'malformed':
      return `replace the unreadable claim about ${fact}`;
  }
}

/** How a requirement reads in `wanted`: `measured or stronger`, `attested by medcert`, `at least measured, attested only by medcert`. */
export function describeRequirement({ source, exact, by }: Requirement): string {
  const issuers = by === null ? '' : ` by ${[...by].join(' or ')}`;
  if (source === 'attested') return `attested${issuers}`;
  if (exact) return source;
  return by === null ? `${source} or stronger` : `at least ${source}, attested only${issuers}`;
}

function explainOne<Fact extends FactName>(
  clause: FactClause<Fact>,
  requirement: Requirement,
  wanted: string,
  facts: IndexedFacts,
  now: number,
): ClauseResult {
  const resolution: Resolution = resolveClaim(facts, clause.fact, requirement, now);
  if (resolution.claim === undefined) {
    return {
      clause: clause.name,
      pass: false,
      unknown: true,
      wanted,
      seen: `unknown (${resolution.why})`,
      source: null,
      issuer: null,
      ageMs: null,
      fix: `${clause.fix(undefined)}; ${remedy(clause.fact, resolution.why)}: ${describeRequirement(requirement)}`,
    };
  }
  const { claim } = resolution;
  const value = claim.value as FactValues[Fact];
  const outcome = clause.judge(value);
  const seen = clause.show(value);
  return {
    clause: clause.name,
    pass: outcome === 'pass',
    unknown: outcome === 'unknown',
    wanted,
    seen: outcome === 'unknown' ? `unknown: ${seen}` : seen,
    source: claim.source,
    issuer: claim.issuer,
    ageMs: resolution.ageMs,
    fix: outcome === 'pass' ? null : clause.fix(value),
  };
}
