/**
 * Power of two choices (Mitzenmacher 2001): of two candidates drawn at random, the one whose requests wait less. Work
 * does not grow with the pool as long as a fair share of it is linked here; only where many draws in a row find nobody are
 * members looked at one after the other. Pure but for `random`.
 *
 * Ejected nodes are passed over, but never more than half of what is seen: when most of a pool fails, the judgement is
 * more likely wrong than the pool, and whoever is left would fall next.
 */
import type { MemberRow } from '@subcloud/contract/table';
import type { Random } from '@subcloud/kit/clock';
import type { Candidate } from './candidate.ts';
import { type PickView, whyNot, whyNotEligible } from './filter.ts';
import { compare } from './score.ts';

export type { Candidate } from './candidate.ts';

/** A pool this small is looked at whole. */
const SMALL_POOL = 16;
const MAX_DRAWS = 16;
const MAX_EJECTED_SHARE = 0.5;

/** `trial`: it was ejected, and is tried with this one. `spared`: too many are ejected to pass them over. */
export type PickedBy = 'only one' | 'score' | 'affinity' | 'sorted' | 'trial' | 'spared';

export interface Pick {
  readonly chosen: Candidate;
  /** The other of the two; undefined where only one was found. */
  readonly other: Candidate | undefined;
  readonly by: PickedBy;
}

export function pick(members: readonly MemberRow[], view: PickView, random: Random): Pick | undefined {
  const sample = new Sample(view, random);
  const count = members.length;
  if (count <= SMALL_POOL) for (const member of members) sample.see(member);
  else {
    for (let draw = 0; draw < MAX_DRAWS && !sample.hasTwo; draw += 1)
      sample.draw(members[Math.floor(random() * count)]);
    if (sample.seen === 0) scanFrom(members, sample, Math.floor(random() * count));
  }
  return sample.choose();
}

/** Two of the healthy candidates that were seen and two of all, each pair as likely as any other (reservoir sampling). */
class Sample {
  readonly #view: PickView;
  readonly #random: Random;
  #first: Candidate | undefined;
  #second: Candidate | undefined;
  #healthy = 0;
  #trial: Candidate | undefined;
  /** Of those that are ejected. */
  #spare: Candidate | undefined;
  #ejected = 0;

  constructor(view: PickView, random: Random) {
    this.#view = view;
    this.#random = random;
  }

  get seen(): number {
    return this.#healthy + this.#ejected;
  }

  get hasTwo(): boolean {
    return this.#second !== undefined;
  }

  see(member: MemberRow): void {
    const candidate = candidateOf(member, this.#view);
    if (candidate === undefined) return;
    if (candidate.standing === 'out') {
      this.#ejected += 1;
      if (this.#random() * this.#ejected < 1) this.#spare = candidate;
      return;
    }
    this.#healthy += 1;
    // Whoever is tried may fail, and a retry is not for that.
    if (candidate.standing === 'trial' && this.#view.tried.length === 0) this.#trial = candidate;
    if (this.#first === undefined) this.#first = candidate;
    else if (this.#second === undefined) this.#second = candidate;
    else {
      const slot = Math.floor(this.#random() * this.#healthy);
      if (slot === 0) this.#first = candidate;
      else if (slot === 1) this.#second = candidate;
    }
  }

  /** As `see`, for members that may come twice. */
  draw(member: MemberRow | undefined): void {
    if (member !== undefined && member !== this.#first?.member) this.see(member);
  }

  choose(): Pick | undefined {
    if (this.#trial !== undefined) return { chosen: this.#trial, other: this.#other(this.#trial), by: 'trial' };
    const spare = this.#spare;
    if (spare !== undefined && this.#ejected > MAX_EJECTED_SHARE * this.seen && this.#spares()) {
      return { chosen: spare, other: this.#first, by: 'spared' };
    }
    const [first, second] = [this.#first, this.#second];
    if (first === undefined) return undefined;
    if (second === undefined) return { chosen: first, other: undefined, by: 'only one' };
    const order = compare(first, second, this.#view);
    const keepsFirst = order === 0 ? this.#random() < 0.5 : order < 0;
    return keepsFirst ? { chosen: first, other: second, by: 'score' } : { chosen: second, other: first, by: 'score' };
  }

  #other(chosen: Candidate): Candidate | undefined {
    return this.#first === chosen ? this.#second : this.#first;
  }

  /** So often that of what was seen, half is in use. */
  #spares(): boolean {
    const wanted = (1 - MAX_EJECTED_SHARE) * this.seen;
    return this.#random() * wanted >= this.#healthy;
  }
}

/** Whether somebody would serve if it had a place: then it is worth to wait. Looks no further than to the first. */
export function isBusy(members: readonly MemberRow[], view: PickView): boolean {
  return members.some((member) => whyNotEligible(member, view) === 'busy');
}

export function candidateOf(member: MemberRow, view: PickView): Candidate | undefined {
  const node = view.nodes.get(member.node);
  const link = view.links.get(member.node);
  if (whyNot(member, node, link, view) !== undefined || node === undefined || link === undefined) return undefined;
  const model = link.stats.of(view.model);
  return { member, node, link, model, standing: link.stats.standing(model, view.monotonicMs) };
}

function scanFrom(members: readonly MemberRow[], sample: Sample, start: number): void {
  for (let step = 0; step < members.length && !sample.hasTwo; step += 1) {
    const member = members[(start + step) % members.length];
    if (member !== undefined) sample.see(member);
  }
}
