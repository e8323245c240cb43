/**
 * Requests that begin alike go to the node that has their beginning in its cache: consistent hashing with bounded loads
 * (Mirrokni, Thorup and Zadimoghaddam 2018). Members stand on a ring by the hash of their ids; from the request's own
 * place the first that may serve and is not loaded beyond the bound takes it, so nodes that come and go move only the
 * requests that stood before them, and a beginning that everybody uses spreads over neighbours.
 *
 * What the bound is a multiple of is the lesser load of two candidates drawn at random: a mean over the pool would be
 * work that grows with it, and a drawn mean rises with the very nodes that are to be spared. The ring is made once for a list of members, which the table replaces when one comes or goes.
 */
import type { MemberRow } from '@subcloud/contract/table';
import type { Candidate } from './candidate.ts';
import type { PickView } from './filter.ts';
import { type Pick, candidateOf } from './pick.ts';
import { score } from './score.ts';

/** The bound, as a multiple of the usual load; less spreads more and hits less. */
const BOUND = 1.25;
/** Few requests more than usual are no load: a cached beginning is worth more than they cost. */
const SLACK = 3;
/** Places on the ring that are looked at before the request goes where it waits least. */
const MAX_STEPS = 32;
/** A member of a small pool has many places on its ring, so that each gets about as much as the next. */
const RING_PLACES = 4_096;
const MAX_PLACES = 128;
/** Hash and index in one number below 2^53, so that a ring sorts natively. */
const INDEX_SPAN = 1_048_576;

const rings = new WeakMap<readonly MemberRow[], Float64Array>();

/** `drawn`: what would be picked without affinity. `key`: of the request's beginning, 32 bits. */
export function pickByAffinity(members: readonly MemberRow[], key: number, view: PickView, drawn: Pick): Pick {
  if (drawn.by === 'trial' || drawn.by === 'spared' || drawn.other === undefined) return drawn;
  const usual = Math.min(loadOf(drawn.chosen, view), loadOf(drawn.other, view));
  const ring = ringOf(members);
  const start = firstFrom(ring, (key >>> 0) * INDEX_SPAN);
  const steps = Math.min(MAX_STEPS, ring.length);
  for (let step = 0; step < steps; step += 1) {
    const member = members[(ring[(start + step) % ring.length] ?? 0) % INDEX_SPAN];
    if (member === undefined) continue;
    const candidate = candidateOf(member, view);
    if (candidate === undefined || candidate.standing === 'out') continue;
    if (loadOf(candidate, view) <= BOUND * usual + SLACK)
      return { chosen: candidate, other: drawn.chosen, by: 'affinity' };
  }
  return drawn;
}

/** FNV-1a, 32 bits. */
export function hashBytes(bytes: Uint8Array, start = 0, end = bytes.byteLength): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at += 1) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
  return mix(hash);
}

function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return mix(hash);
}

/** FNV leaves neighbours together: the finaliser of MurmurHash3. */
function mix(hash: number): number {
  let mixed = hash ^ (hash >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function loadOf(candidate: Candidate, view: PickView): number {
  return score(candidate, view).load;
}

function ringOf(members: readonly MemberRow[]): Float64Array {
  const known = rings.get(members);
  if (known !== undefined) return known;
  const places = Math.max(1, Math.min(MAX_PLACES, Math.round(RING_PLACES / members.length)));
  const ring = new Float64Array(places * members.length);
  members.forEach(({ node }, index) => {
    const hash = hashText(node);
    for (let place = 0; place < places; place += 1) {
      ring[index * places + place] = mix(hash + Math.imul(place, 0x9e3779b9)) * INDEX_SPAN + index;
    }
  });
  ring.sort();
  rings.set(members, ring);
  return ring;
}

/** Index of the first place at or after `place`. */
function firstFrom(ring: Float64Array, place: number): number {
  let low = 0;
  let high = ring.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ring[middle] ?? 0) < place) low = middle + 1;
    else high = middle;
  }
  return low;
}
