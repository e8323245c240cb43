/**
 * Power of two choices (Mitzenmacher 2001): of two eligible members drawn at random, the less loaded. Work does not grow
 * with the pool as long as a fair share of it is linked here; only where many draws in a row find nobody are members
 * looked at one after the other. Pure but for `random`.
 */
import type { MemberRow, NodeRow } from '@subcloud/contract/table';
import type { Random } from '@subcloud/kit/clock';
import type { NodeLink } from '../link/node-link.ts';
import { type PickView, whyNotEligible } from './filter.ts';
import { compareLoad } from './score.ts';

/** A pool this small is looked at whole. */
const SMALL_POOL = 16;
const MAX_DRAWS = 16;

export interface Candidate {
  readonly member: MemberRow;
  readonly node: NodeRow;
  readonly link: NodeLink;
}

export interface Pick {
  readonly chosen: Candidate;
  /** The other of the two; undefined where only one was found. */
  readonly other: Candidate | undefined;
}

export function pick(members: readonly MemberRow[], view: PickView, random: Random): Pick | undefined {
  const count = members.length;
  if (count <= SMALL_POOL) return choose(sampleWhole(members, view, random), random);
  let first: Candidate | undefined;
  for (let draw = 0; draw < MAX_DRAWS; draw += 1) {
    const candidate = candidateOf(members[Math.floor(random() * count)], view);
    if (candidate === undefined || candidate.link === first?.link) continue;
    if (first !== undefined) return choose([first, candidate], random);
    first = candidate;
  }
  return choose(
    first === undefined ? scanFrom(members, view, Math.floor(random() * count)) : [first, undefined],
    random,
  );
}

type Two = readonly [Candidate | undefined, Candidate | undefined];

function choose([first, second]: Two, random: Random): Pick | undefined {
  if (first === undefined) return undefined;
  if (second === undefined) return { chosen: first, other: undefined };
  const order = compareLoad(first, second);
  const keepsFirst = order === 0 ? random() < 0.5 : order < 0;
  return keepsFirst ? { chosen: first, other: second } : { chosen: second, other: first };
}

function candidateOf(member: MemberRow | undefined, view: PickView): Candidate | undefined {
  if (member === undefined || whyNotEligible(member, view) !== undefined) return undefined;
  const node = view.nodes.get(member.node);
  const link = view.links.get(member.node);
  return node === undefined || link === undefined ? undefined : { member, node, link };
}

/** Two of all eligible ones, each pair as likely as any other (reservoir sampling). */
function sampleWhole(members: readonly MemberRow[], view: PickView, random: Random): Two {
  let first: Candidate | undefined;
  let second: Candidate | undefined;
  let seen = 0;
  for (const member of members) {
    const candidate = candidateOf(member, view);
    if (candidate === undefined) continue;
    seen += 1;
    if (first === undefined) first = candidate;
    else if (second === undefined) second = candidate;
    else {
      const slot = Math.floor(random() * seen);
      if (slot === 0) first = candidate;
      else if (slot === 1) second = candidate;
    }
  }
  return [first, second];
}

function scanFrom(members: readonly MemberRow[], view: PickView, start: number): Two {
  let first: Candidate | undefined;
  for (let step = 0; step < members.length; step += 1) {
    const candidate = candidateOf(members[(start + step) % members.length], view);
    if (candidate === undefined) continue;
    if (first !== undefined) return [first, candidate];
    first = candidate;
  }
  return [first, undefined];
}
