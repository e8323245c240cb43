/**
 * The order in which a node enters and leaves pools, as a pure step over three sets of (pool, model):
 * what memberships want (desired), what the agent enforces for sure (agreed), and what the table says.
 *
 *   table = desired ∩ agreed, always. So a pool leaves the table before the agent hears of it, and enters the table
 *   after the agent has acknowledged it. A new document is issued only once every gateway with a live lease has
 *   acknowledged the table that holds the losses: leave before join.
 *
 * While a document is under way the agent may hold the old or the new one, so agreed is their intersection until the
 * acknowledgement; nothing that only one of them allows is ever in the table.
 */
import type { MemberRow } from '@subcloud/contract/table';
import type { Isolation } from '@subcloud/policy/consent';
import type { PrincipalId } from '@subcloud/policy/principal';

/** What stands in `terms` for a pool that the document is draining. */
const DRAINING = 'draining';

/** Pool name -> sorted model ids. A pool without models is not in the map. */
export type PoolModels = ReadonlyMap<string, readonly string[]>;

export interface DesiredMember {
  readonly models: readonly string[];
  readonly validUntil: number | null;
  /** The most of the node's concurrency that its operator lets the pool use; undefined: all. */
  readonly share?: number | undefined;
  readonly revision: number;
  /** Owner and isolation stand in the document too: the agent asks its operator's consent about them. */
  readonly owner: PrincipalId | null;
  readonly isolation: Isolation;
  /** Its models may be offered in no other pool. */
  readonly private?: true | undefined;
  /** The operator has said yes with its account, for at most this isolation. */
  readonly accepted?: Isolation | undefined;
  /** What the operator's rule about Subclouds may read, where the consent is one. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly allows?: readonly string[] | undefined;
  /** The node is leaving: no models, nothing new, and the document says so until nothing is in flight. */
  readonly draining?: true | undefined;
  /** No models, and the table says that answers in flight are cut. */
  readonly cut?: true | undefined;
}

export interface DocumentState {
  /** What the newest document says. */
  readonly content: PoolModels;
  /** Pool -> owner and isolation that it names, as `termsOf` writes them. */
  readonly terms: ReadonlyMap<string, string>;
  readonly agreed: PoolModels;
  readonly acknowledged: boolean;
}

export interface SequenceInput {
  readonly node: string;
  readonly desired: ReadonlyMap<string, DesiredMember>;
  readonly document: DocumentState | undefined;
  /** Every gateway with a live lease has acknowledged the table version that last lost something of this node. */
  readonly lossesConcluded: boolean;
}

export interface SequenceResult {
  readonly rows: readonly MemberRow[];
  /** The newest document does not say what memberships want. */
  readonly documentDiffers: boolean;
  /** A document may be issued now (if it differs). */
  readonly mayIssue: boolean;
}

/** `rowsBefore` are the node's rows in the table as it is; a result that loses one of them must be published and acknowledged first. */
export function sequenceNode(input: SequenceInput, rowsBefore: readonly MemberRow[]): SequenceResult {
  const agreed = input.document?.agreed ?? new Map<string, readonly string[]>();
  const rows: MemberRow[] = [];
  for (const [pool, want] of input.desired) {
    if (want.cut === true) {
      rows.push({ pool, node: input.node, models: [], validUntil: null, cut: true });
      continue;
    }
    const may = agreed.get(pool);
    if (may === undefined) continue;
    const models = want.models.filter((model) => may.includes(model));
    if (models.length === 0) continue;
    const { validUntil, share } = want;
    rows.push({ pool, node: input.node, models, validUntil, ...(share === undefined ? {} : { share }) });
  }
  const documentDiffers =
    input.document === undefined ||
    !samePools(input.document.content, desiredPools(input.desired)) ||
    !sameTerms(input.document.terms, input.desired);
  const loses = losesAny(rowsBefore, rows);
  return { rows, documentDiffers, mayIssue: input.lossesConcluded && !loses };
}

export function desiredPools(desired: ReadonlyMap<string, DesiredMember>): PoolModels {
  return new Map(
    [...desired].filter(([, { models }]) => models.length > 0).map(([pool, { models }]) => [pool, [...models].sort()]),
  );
}

/** What the agent enforces whichever of the two it holds. */
export function intersect(a: PoolModels, b: PoolModels): PoolModels {
  const both = new Map<string, readonly string[]>();
  for (const [pool, models] of a) {
    const others = b.get(pool);
    const shared = others === undefined ? [] : models.filter((model) => others.includes(model));
    if (shared.length > 0) both.set(pool, shared);
  }
  return both;
}

/** Whether some (pool, model) of `before` is missing in `after`. One that merely ends earlier ends by itself in every gateway. */
export function losesAny(before: readonly MemberRow[], after: readonly MemberRow[]): boolean {
  return before.some((old) => {
    const now = after.find(({ pool }) => pool === old.pool);
    return old.models.some((model) => now?.models.includes(model) !== true);
  });
}

/** What stands in `terms` for a membership. */
export function termsOf(
  member: Pick<DesiredMember, 'owner' | 'isolation' | 'private' | 'accepted' | 'labels' | 'allows' | 'draining'>,
): string {
  if (member.draining === true) return DRAINING;
  const { owner, isolation, accepted, labels, allows } = member;
  const about = labels === undefined && allows === undefined ? '' : ` ${JSON.stringify([labels, allows])}`;
  return `${owner ?? ''} ${isolation}${member.private === true ? ' private' : ''}${accepted === undefined ? '' : ` accepted ${accepted}`}${about}`;
}

/** `terms` of the pools that a document names as draining. */
export function drainingTerms(pools: readonly string[] | undefined): [string, string][] {
  return (pools ?? []).map((pool) => [pool, DRAINING]);
}

/** Pools that the document is draining. */
export function drainingOf({ terms }: Pick<DocumentState, 'terms'>): string[] {
  return [...terms].filter(([, text]) => text === DRAINING).map(([pool]) => pool);
}

function sameTerms(terms: ReadonlyMap<string, string>, desired: ReadonlyMap<string, DesiredMember>): boolean {
  for (const [pool, text] of terms) if (text === DRAINING && desired.get(pool)?.draining !== true) return false;
  return [...desired].every(
    ([pool, member]) => (member.models.length === 0 && member.draining !== true) || terms.get(pool) === termsOf(member),
  );
}

export function samePools(a: PoolModels, b: PoolModels): boolean {
  if (a.size !== b.size) return false;
  for (const [pool, models] of a) {
    const others = b.get(pool);
    if (
      others === undefined ||
      others.length !== models.length ||
      models.some((model, index) => model !== others[index])
    )
      return false;
  }
  return true;
}
