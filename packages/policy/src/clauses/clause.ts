/**
 * A compiled clause. `admits` is the fast form, `explain` the one for people; both read the same resolution of the same
 * fact, and a property shows that they always agree.
 */
import type { ClaimSource, IndexedFacts } from '../facts.ts';

export const CLAUSES = [
  'nodes.operators',
  'nodes.location',
  'nodes.operatorSeat',
  'nodes.hardware',
  'nodes.trust.level',
  'nodes.trust.reputation',
  'nodes.trust.stake',
  'nodes.labels',
  'nodes.where',
  'models.dedicated',
  'models.allow',
  'models.quantization',
  'models.modalities',
] as const;
export type ClauseName = (typeof CLAUSES)[number];

export interface ClauseResult {
  readonly clause: ClauseName;
  readonly pass: boolean;
  /** True when the clause fails because its fact is not known. */
  readonly unknown: boolean;
  readonly wanted: string;
  readonly seen: string;
  readonly source: ClaimSource | 'enrolment' | null;
  readonly issuer: string | null;
  readonly ageMs: number | null;
  /** The least change that would make a failing clause pass; null where it passes. */
  readonly fix: string | null;
}

/** Anything but `pass` keeps the node out. */
export type Outcome = 'pass' | 'fail' | 'unknown';

export interface NodeClause {
  readonly name: ClauseName;
  /**
   * Equal exactly for clauses whose outcome is the same for every node at every time: all that it depends on besides the
   * facts stands in it. Many Subclouds ask the same, and are answered once (admit-many.ts).
   */
  readonly asks: string;
  readonly admits: (facts: IndexedFacts, now: number) => Outcome;
  readonly explain: (facts: IndexedFacts, now: number) => ClauseResult;
  /** Facts that it reads; what else changes cannot change it. */
  readonly reads: readonly string[];
}
