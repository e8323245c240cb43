/**
 * Where a node is, as far as a caller may rely on it when it asks for a place: what was measured or attested, never what was
 * declared. Measured is the place of the address that the table's row names, and a gateway picks the node over a link from
 * that address alone, so it needs no age. Every measured or attested claim in force counts, whoever's attester signed it, and a
 * request's places must hold for each of their candidates: so what contradicts itself passes for no place that one of them
 * is not in. That there is a place at all is the word of the network: measured, or attested by one of its attesters.
 */
import type { NodeRow } from '@subcloud/contract/table';
import { MAX_PLACES_OF_NODE } from '@subcloud/contract/table';
import type { Claim, ClaimOf, Place } from '@subcloud/policy/facts';

type Places = Pick<NodeRow, 'places' | 'placesUntil'>;

/** Pure. Empty where it is not known. */
export function placesOf(claims: readonly Claim[], nowMs: number): Places {
  const counted = claims.filter(
    (claim): claim is ClaimOf<'location'> =>
      claim.fact === 'location' &&
      claim.source !== 'declared' &&
      (claim.expiresAt === null || claim.expiresAt > nowMs) &&
      claim.value.candidates.length > 0,
  );
  const isKnown = counted.some(({ source, issuerOwner = null }) => source === 'measured' || issuerOwner === null);
  if (!isKnown) return {};
  const places = new Map<string, Place>();
  for (const { value } of counted)
    for (const { country, subdivision } of value.candidates)
      places.set(`${country} ${subdivision ?? ''}`, { country, ...(subdivision === undefined ? {} : { subdivision }) });
  // So many say nothing.
  if (places.size > MAX_PLACES_OF_NODE) return {};
  const ends = counted.flatMap(({ expiresAt }) => (expiresAt === null ? [] : [expiresAt]));
  const sorted = [...places].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, place]) => place);
  return { places: sorted, ...(ends.length === 0 ? {} : { placesUntil: Math.min(...ends) }) };
}
