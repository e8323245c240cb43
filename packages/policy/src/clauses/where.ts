/** `nodes.where`: one CEL expression over the node's facts, for what has no clause. Unknown keeps a node out. */
import { canonicalJson } from '../canonical-json.ts';
import { type CelExpression, compileCel } from '../cel/cel-expression.ts';
import type { CelValue } from '../cel/cel-table.ts';
import { NODE_VARIABLES, type NodeVariable } from '../cel/node-variables.ts';
import {
  CLAIM_SOURCES,
  type IndexedFacts,
  type Requirement,
  type Resolution,
  countedClaim,
  resolveClaim,
} from '../facts.ts';
import type { FactName } from '../fact-values.ts';
import type { ClauseResult, NodeClause } from './clause.ts';
import { type CompileContext, describeRequirement, requirementsOf } from './fact-clause.ts';

/** Throws on text that `parseManifest` would refuse. */
export function whereClause(text: string, context: CompileContext): NodeClause {
  const compiled = compileCel(text, NODE_VARIABLES);
  if (!compiled.ok) throw new Error(`nodes.where: ${compiled.message}`);
  const { expression } = compiled;
  const named = expression.variables.map((path) => variableOf(path, context));
  const byPath = new Map(named.map((variable) => [variable.path, variable]));
  const judge = (facts: IndexedFacts, now: number): boolean | undefined =>
    expression.evaluate((path) => byPath.get(path)?.read(facts, now));
  return {
    name: 'nodes.where',
    asks: canonicalJson(['nodes.where', text, context.maxAgeMs]),
    reads: [...new Set(named.flatMap(({ fact }) => (fact === null ? [] : [fact])))],
    admits: (facts, now) => {
      const verdict = judge(facts, now);
      return verdict === undefined ? 'unknown' : verdict ? 'pass' : 'fail';
    },
    explain: (facts, now) => explain(expression, named, judge(facts, now), facts, now),
  };
}

interface NamedVariable {
  readonly path: string;
  readonly fact: FactName | null;
  readonly requirement: Requirement | null;
  readonly read: (facts: IndexedFacts, now: number) => CelValue | undefined;
}

function variableOf(path: string, context: CompileContext): NamedVariable {
  const variable = (NODE_VARIABLES as Readonly<Record<string, NodeVariable>>)[path];
  if (variable === undefined) throw new Error(`nodes.where: there is no variable ${path}`);
  if (variable.fact === null) {
    const { of } = variable;
    // A test's node may leave out who operates it, which is not the same as an empty name.
    return { path, fact: null, requirement: null, read: (facts) => (facts[of] === '' ? undefined : facts[of]) };
  }
  const [requirement] = requirementsOf({}, variable.source, context);
  if (requirement === undefined) throw new Error('a clause has at least one requirement');
  const { fact } = variable;
  const valueOf = variable.read as (value: unknown) => CelValue | undefined;
  return {
    path,
    fact,
    requirement,
    read: (facts, now) => {
      const claim = countedClaim(facts, fact, requirement, now);
      return typeof claim === 'string' ? undefined : valueOf(claim.value);
    },
  };
}

function explain(
  { text, keys }: CelExpression,
  named: readonly NamedVariable[],
  verdict: boolean | undefined,
  facts: IndexedFacts,
  now: number,
): ClauseResult {
  const resolved = named.map((variable) => ({ variable, resolution: resolutionOf(variable, facts, now) }));
  const claims = resolved.flatMap(({ resolution }) => (resolution?.claim === undefined ? [] : [resolution]));
  const ranks = claims.map(({ claim }) => CLAIM_SOURCES.indexOf(claim.source));
  const missing = resolved.flatMap(({ variable, resolution }) =>
    variable.requirement !== null && resolution?.claim === undefined ? [variable] : [],
  );
  const pass = verdict === true;
  return {
    clause: 'nodes.where',
    pass,
    unknown: verdict === undefined,
    wanted: text,
    seen: resolved.map(({ variable, resolution }) => show(variable, resolution, keys, facts, now)).join(', '),
    // Of several facts the weakest source: the verdict is no surer than that.
    source: ranks.length > 0 ? (CLAIM_SOURCES[Math.min(...ranks)] ?? null) : missing.length > 0 ? null : 'enrolment',
    issuer: [...new Set(claims.map(({ claim }) => claim.issuer))].join(', ') || (missing.length > 0 ? null : 'network'),
    ageMs: claims.length === 0 ? null : Math.max(...claims.map(({ ageMs }) => ageMs)),
    fix: pass ? null : fixOf(verdict, missing, named),
  };
}

function resolutionOf({ fact, requirement }: NamedVariable, facts: IndexedFacts, now: number): Resolution | undefined {
  return fact === null || requirement === null ? undefined : resolveClaim(facts, fact, requirement, now);
}

function show(
  variable: NamedVariable,
  resolution: Resolution | undefined,
  keys: readonly string[],
  facts: IndexedFacts,
  now: number,
): string {
  const { path, requirement } = variable;
  const value = variable.read(facts, now);
  if (value === undefined) {
    const why = requirement !== null && resolution?.claim === undefined ? ` (${resolution?.why ?? 'no claim'})` : '';
    return `${path} unknown${why}`;
  }
  const ofPath = keys.filter((key) => key.startsWith(`${path}.`)).map((key) => key.slice(path.length + 1));
  if (ofPath.length === 0 || typeof value !== 'object' || Array.isArray(value)) return `${path} = ${short(value)}`;
  return ofPath
    .map((key) => `${path}.${key} ${Object.hasOwn(value, key) ? `= ${short(Reflect.get(value, key))}` : 'is not set'}`)
    .join(', ');
}

const MAX_SHOWN = 160;
function short(value: unknown): string {
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? '');
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

function fixOf(
  verdict: boolean | undefined,
  missing: readonly NamedVariable[],
  named: readonly NamedVariable[],
): string {
  if (verdict === undefined && missing.length > 0) {
    const wanted = missing.map(
      ({ fact, requirement }) => `${fact} (${requirement === null ? '' : describeRequirement(requirement)})`,
    );
    return `let it be known: ${[...new Set(wanted)].join(', ')}`;
  }
  const paths = named.map(({ path }) => path);
  return paths.length === 0 ? 'change the expression' : `a node whose ${paths.join(', ')} makes the expression true`;
}
