/**
 * May this member serve a request now? Asked at every pick, also at a retry, on the table and the links of that moment.
 * The first reason that holds is the answer; the words are those that callers see counted.
 */
import type { MemberRow, NodeRow } from '@subcloud/contract/table';
import { type Reserves, hasPlace } from '../capacity/places.ts';
import type { InputModality } from '@subcloud/policy/model-inputs';
import { type NodeLink, isServing } from '../link/node-link.ts';

export type NotEligible =
  | 'expired'
  | 'offline'
  | 'draining'
  | 'address changed'
  | 'busy'
  | 'tried'
  | 'modality'
  | Unwanted;

/** What of a caller's preferences keeps a node out. */
export type Unwanted = 'preferences' | 'preferences.location';

/** What a pick sees of the moment: never stored, never shared between picks. */
export interface PickView {
  readonly nodes: { get(node: string): NodeRow | undefined };
  readonly links: { get(node: string): NodeLink | undefined };
  /** Control's clock. */
  readonly controlNowMs: number;
  readonly monotonicMs: number;
  /** Nodes that failed this request already. */
  readonly tried: readonly string[];
  readonly model: string;
  readonly stream: boolean;
  /** What is in the request besides text. */
  readonly inputs?: readonly InputModality[] | undefined;
  /** What pools have reserved; undefined where none has. */
  readonly reserves?: Reserves | undefined;
  /** What the caller asked for beyond the policy; it only narrows. */
  readonly unwanted?: ((member: MemberRow, link: NodeLink, node: NodeRow) => Unwanted | undefined) | undefined;
}

/** Undefined where the member may serve. */
export function whyNotEligible(member: MemberRow, view: PickView): NotEligible | undefined {
  return whyNot(member, view.nodes.get(member.node), view.links.get(member.node), view);
}

/** The same, of what was looked up already. */
export function whyNot(
  member: MemberRow,
  node: NodeRow | undefined,
  link: NodeLink | undefined,
  view: PickView,
): NotEligible | undefined {
  if (member.validUntil !== null && member.validUntil <= view.controlNowMs) return 'expired';
  if (node === undefined || link === undefined || !isServing(link, view.monotonicMs)) return 'offline';
  if (node.draining === true) return 'draining';
  if (node.measuredAddress === null || link.address !== node.measuredAddress) return 'address changed';
  if (view.tried.includes(member.node)) return 'tried';
  if (view.inputs !== undefined && !takes(node, view.model, view.inputs)) return 'modality';
  const unwanted = view.unwanted?.(member, link, node);
  if (unwanted !== undefined) return unwanted;
  // Last: only what would serve if it had a place is waited for.
  if (!hasPlace(member, node, link, view.reserves) || link.stats.isFull(view.model, view.monotonicMs)) return 'busy';
  return undefined;
}

/** Whether the model there is known to take all of it: of what is not known, nobody says that it can. */
export function takes({ inputs: known }: NodeRow, model: string, inputs: readonly InputModality[]): boolean {
  const taken = known !== undefined && Object.hasOwn(known, model) ? known[model] : undefined;
  return inputs.every((input) => taken?.includes(input) === true);
}
