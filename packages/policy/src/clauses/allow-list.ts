/** `models.allow`: an entry is an exact id or a glob, and may pin the weights and ask that they were audited. */
import type { ModelFact } from '../fact-values.ts';
import type { IndexedFacts, Requirement } from '../facts.ts';
import { acceptedClaims } from '../facts.ts';
import { compileGlob } from '../glob.ts';
import type { ModelsClause } from '../manifest.ts';
import { durationMs } from '../units.ts';
import type { Outcome } from './clause.ts';
import type { CompileContext } from './fact-clause.ts';
import { type ModelStep, listed } from './model-steps.ts';

export interface CompiledAllowList {
  readonly step: ModelStep;
  readonly readsAudits: boolean;
  readonly auditAgesMs: readonly number[];
}

type Entry = NonNullable<ModelsClause['allow']>[number];

interface CompiledEntry {
  /** Set where the entry is an exact id that asks nothing more. */
  readonly plainId: string | undefined;
  readonly matches: (id: string) => boolean;
  /** What is asked of a model whose id matches; undefined: nothing. */
  readonly asks: ((model: ModelFact, facts: IndexedFacts, now: number) => Outcome) | undefined;
  /** What a node would have to serve, in full. */
  readonly whole: string;
}

export function compileAllow(allow: ModelsClause['allow'], context: CompileContext): CompiledAllowList {
  if (allow === undefined) return ANY;
  const entries = allow.map((entry) => compileEntry(entry, context));
  // Most entries are exact ids that ask nothing more; they are found at once, however long the list is.
  const plain = new Set(entries.flatMap(({ plainId }) => (plainId === undefined ? [] : [plainId])));
  const others = entries.filter(({ plainId }) => plainId === undefined);
  const judge: ModelStep['judge'] = (model, facts, now) => {
    if (plain.has(model.id)) return 'pass';
    let best: Outcome = 'fail';
    for (const { matches, asks } of others) {
      if (!matches(model.id)) continue;
      const outcome = asks === undefined ? 'pass' : asks(model, facts, now);
      if (outcome === 'pass') return 'pass';
      if (outcome === 'unknown') best = 'unknown';
    }
    return best;
  };
  const wanted = listed(allow.map(describeEntry));
  return {
    readsAudits: allow.some(({ audited }) => audited !== undefined),
    auditAgesMs: allow.flatMap(({ audited }) => (audited?.maxAge === undefined ? [] : [durationMs(audited.maxAge)])),
    step: {
      name: 'models.allow',
      wanted: `one of ${wanted}`,
      judge,
      show: ({ id, digest }, outcome) => {
        const shown = digest === null ? id : `${id} ${shortDigest(digest)}`;
        return outcome === 'unknown' ? `${shown} (${digest === null ? 'digest' : 'audit'} unknown)` : shown;
      },
      fix: (models, facts, now) => {
        // The nearest entries are those that a served id matches already.
        const near = entries.filter(({ matches }) => models.some(({ id }) => matches(id)));
        const missesAudit = (model: ModelFact): boolean =>
          model.digest !== null && judge(model, facts, now) === 'unknown';
        const unaudited = models.filter(({ id }) => models.every((model) => model.id !== id || missesAudit(model)));
        const wanting = listed((near.length > 0 ? near : entries).map(({ whole }) => whole));
        const audits = unaudited.map(({ id, digest }) => `${id} ${digest ?? ''}`);
        return audits.length === 0 ? `serve one of: ${wanting}` : `have ${listed(audits)} audited: ${wanting}`;
      },
    },
  };
}

const ANY: CompiledAllowList = {
  readsAudits: false,
  auditAgesMs: [],
  step: {
    name: 'models.allow',
    wanted: 'any model',
    judge: () => 'pass',
    show: ({ id }) => id,
    fix: () => 'let an engine of the node serve a model',
  },
};

function compileEntry(entry: Entry, context: CompileContext): CompiledEntry {
  const { id, digest: pinned, audited } = entry;
  const audit = audited === undefined ? undefined : auditOf(audited, context);
  const asks = (model: ModelFact, facts: IndexedFacts, now: number): Outcome => {
    if (model.digest === null) return 'unknown';
    if (pinned !== undefined && pinned !== model.digest) return 'fail';
    // Whether weights were audited is a fact like any other: where no claim counts, it is unknown.
    return audit === undefined || audit(model.digest, facts, now) ? 'pass' : 'unknown';
  };
  const isPlain = pinned === undefined && audit === undefined;
  return {
    plainId: isPlain && !/[*?]/.test(id) ? id : undefined,
    matches: compileGlob(id),
    asks: isPlain ? undefined : asks,
    whole: describe(entry, pinned),
  };
}

/** An audit counts for the digest that the engine reports, from a listed issuer, no older than asked. */
function auditOf(
  { by, maxAge }: NonNullable<Entry['audited']>,
  { owner, maxAgeMs: factAgeMs }: CompileContext,
): (digest: string, facts: IndexedFacts, now: number) => boolean {
  const maxAgeMs = maxAge === undefined ? Number.POSITIVE_INFINITY : durationMs(maxAge);
  const requirement: Requirement = { source: 'attested', exact: true, by: new Set(by), owner, maxAgeMs: factAgeMs };
  return (digest, facts, now) =>
    acceptedClaims(facts, 'audit', requirement, now).some(
      (claim) => claim.value.digest === digest && now - claim.issuedAt <= maxAgeMs,
    );
}

function describeEntry(entry: Entry): string {
  return describe(entry, entry.digest === undefined ? undefined : shortDigest(entry.digest));
}

function describe({ id, audited }: Entry, digest: string | undefined): string {
  const age = audited?.maxAge === undefined ? '' : ` at most ${audited.maxAge} ago`;
  const parts = [
    id,
    digest === undefined ? '' : `with ${digest}`,
    audited === undefined ? '' : `audited by ${audited.by.join(' or ')}${age}`,
  ];
  return parts.filter((part) => part !== '').join(' ');
}

function shortDigest(digest: string): string {
  return `${digest.slice(0, 19)}…`;
}
