/** For callers who ask for the best of all: the whole pool is looked at, which costs as much as it is large. */
import type { MemberRow } from '@subcloud/contract/table';
import type { Random } from '@subcloud/kit/clock';
import type { PickView } from './filter.ts';
import { type Candidate, type Pick, candidateOf, pick } from './pick.ts';
import { score } from './score.ts';

export function pickSorted(
  members: readonly MemberRow[],
  view: PickView,
  random: Random,
  by: 'latency' | 'load',
): Pick | undefined {
  let best: Candidate | undefined;
  let least = Number.POSITIVE_INFINITY;
  let other: Candidate | undefined;
  const start = Math.floor(random() * members.length);
  for (let step = 0; step < members.length; step += 1) {
    const member = members[(start + step) % members.length];
    const candidate = member === undefined ? undefined : candidateOf(member, view);
    if (candidate === undefined || candidate.standing !== 'in') continue;
    const { load, latencyMs } = score(candidate, view);
    // Whoever has answered nothing is no fast one as far as anybody knows, and comes last.
    const value = by === 'load' ? load : (latencyMs ?? Number.MAX_VALUE);
    if (value >= least) continue;
    other = best;
    best = candidate;
    least = value;
  }
  return best === undefined ? pick(members, view, random) : { chosen: best, other, by: 'sorted' };
}
