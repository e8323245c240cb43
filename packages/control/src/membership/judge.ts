/** What one Subcloud and one node are to each other: what the policy admits, and whether operator and owner say yes. Pure. */
import type { AdmissionAt } from '@subcloud/policy/admit-many';
import {
  type Consent,
  type ConsentQuestion,
  consentsByName,
  consentsToAutoJoin,
  offersModel,
  refuses,
} from '@subcloud/policy/consent';
import { type Admission, admits } from '@subcloud/policy/decide';
import { compileGlob } from '@subcloud/policy/glob';
import {
  BANNED,
  type Membership,
  type ReconcileInput,
  type SubcloudPolicy,
  type Verdict,
  hasExpired,
  holds,
  isolates,
  presence,
} from './membership.ts';
import { NOT_ALLOWED } from './next-membership.ts';
import type { Listed } from './subcloud-list.ts';

/** `kept`: what Subclouds that come before it keep to themselves. `admission`: what the policies of the list admit. */
export function judge(
  input: ReconcileInput,
  { subcloud, at, questions }: Listed,
  stored: Membership | undefined,
  kept: readonly Keeper[],
  admission: AdmissionAt,
): Verdict {
  const { node } = input;
  const { decision, without } = offered(admission(at), input, subcloud, kept);
  const because = without ?? decision.failing ?? presence(input);
  const banned = input.banned?.has(subcloud.id) === true;
  if (questions === null) {
    const permits = node.consent.global && !banned;
    const reason = permits ? because : banned ? BANNED : 'consent';
    return { decision, permits, asks: false, refused: false, overreaches: false, displaced: false, reason };
  }
  const { owner, asked: question } = questions;
  const assigned = isAssigned(stored, input.nowMs);
  const { mode } = subcloud.participation;
  const refused = refuses(node.consent, subcloud.name);
  const takesItself = mode !== 'private' && subcloud.participation.autoJoin;
  // What joins an open Subcloud by itself asks a semi-open one by itself, while it is eligible.
  const filed = mode === 'semi-open' && takesItself && (because === 'joined' || stored?.state === 'requested');
  const named = consentsByName(node.consent, question);
  const taken = takesItself && consentsToAutoJoin(node.consent, question);
  const asks = named || (filed && taken);
  const permits = !refused && !banned && (named || taken || (assigned && node.operator === owner));
  const overreaches = !permits && permitsLess(node.consent, takesItself, questions.lesser);
  const mayIsolate =
    !isolates(subcloud) || (stored !== undefined && holds(stored)) || input.isolation?.allows(owner) !== false;
  const reason = banned
    ? BANNED
    : mode === 'private' && !assigned
      ? 'not invited'
      : !permits
        ? 'consent'
        : !mayIsolate
          ? NOT_ALLOWED
          : because === 'joined' && mode === 'semi-open' && !assigned && !isStaked(subcloud, input)
            ? 'approval'
            : because;
  return { decision, permits, asks, refused, overreaches, displaced: false, reason };
}

function permitsLess(consent: Consent, takesItself: boolean, lesser: ConsentQuestion): boolean {
  return consentsByName(consent, lesser) || (takesItself && consentsToAutoJoin(consent, lesser));
}

/** Whether the list of one that keeps its models names this id, whatever is known of the weights. */
export type Keeper = (id: string) => boolean;
const keeperOf = new WeakMap<readonly string[], Keeper>();

export function namesOf({ allows }: SubcloudPolicy): Keeper {
  if (allows === undefined) return () => true;
  const known = keeperOf.get(allows);
  if (known !== undefined) return known;
  const globs = allows.map(compileGlob);
  const names: Keeper = (id) => globs.some((matches) => matches(id));
  keeperOf.set(allows, names);
  return names;
}

/** Whether a stake that somebody attests lets the node in without approval. */
function isStaked({ stakes = [] }: SubcloudPolicy, { node, nowMs }: ReconcileInput): boolean {
  return stakes.some((stake) => admits(stake, node.facts, nowMs).eligible);
}

function isAssigned(stored: Membership | undefined, nowMs: number): boolean {
  if (stored === undefined || !stored.assigned || hasExpired(stored, nowMs)) return false;
  return stored.state !== 'left' && stored.state !== 'removed' && stored.state !== 'banned';
}

/** Less what the operator does not offer in this pool, and less what Subclouds keep that come before it. */
function offered(
  admission: Admission,
  { node }: ReconcileInput,
  { name }: SubcloudPolicy,
  kept: readonly Keeper[],
): { readonly decision: Admission; readonly without: 'consent' | 'private' | null } {
  const offers = offersModel(node.consent, name);
  if (!admission.eligible || (offers === null && kept.length === 0)) return { decision: admission, without: null };
  const permitted = offers === null ? admission.models : admission.models.filter(offers);
  const models = permitted.filter((model) => !kept.some((names) => names(model)));
  if (models.length > 0) return { decision: { ...admission, models }, without: null };
  return {
    decision: { eligible: false, models, failing: null },
    without: permitted.length === 0 ? 'consent' : 'private',
  };
}
