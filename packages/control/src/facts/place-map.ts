/**
 * The admin's map from address ranges to places: for private networks and tests, and where the databases are wrong. An
 * address takes the longest range that holds it. A map is taken whole or not at all.
 */
import type { Place } from '@subcloud/policy/facts';
import { isCountry, isSubdivisionOf } from '@subcloud/policy/place-registry';
import { suggestPlace } from '@subcloud/policy/places';
import { type Address, type AddressRange, networkBytes, parseRange } from './address.ts';

export const MAX_MAPPED_PLACES = 10_000;
const MAX_FAULTS_SHOWN = 20;

export interface MappedPlace {
  /** An IPv4 or IPv6 range, for example `10.1.0.0/16`. */
  readonly cidr: string;
  readonly country: string;
  readonly subdivision?: string | undefined;
}

/** All that is wrong with a map; each sentence names its entry. */
export class PlaceMapError extends Error {
  override readonly name = 'PlaceMapError';
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(faults.slice(0, MAX_FAULTS_SHOWN).join('; '));
    this.faults = faults;
  }
}

export interface PlaceMap {
  readonly find: (address: Address) => Place | undefined;
}

/** Throws PlaceMapError with all faults: no range, no country, a subdivision elsewhere, one range in two places. */
export function readPlaceMap(entries: readonly MappedPlace[]): PlaceMap {
  if (entries.length > MAX_MAPPED_PLACES) throw new PlaceMapError([`a map holds at most ${MAX_MAPPED_PLACES} places`]);
  const byRange = new Map<string, Place>();
  const prefixes = { ipv4: new Set<number>(), ipv6: new Set<number>() };
  const faults: string[] = [];
  entries.forEach((entry, index) => {
    const fault = (text: string): number =>
      faults.push(`places[${index}] ${JSON.stringify(entry.cidr.slice(0, 64))} ${text}`);
    const range = parseRange(entry.cidr);
    const place = readPlace(entry);
    if (typeof range === 'string') fault(range);
    if (typeof place === 'string') fault(place);
    if (typeof range === 'string' || typeof place === 'string') return;
    const key = rangeKey(range);
    const known = byRange.get(key);
    if (known !== undefined && (known.country !== place.country || known.subdivision !== place.subdivision)) {
      fault(`is also mapped to ${known.subdivision ?? known.country}`);
    }
    byRange.set(key, place);
    prefixes[range.kind].add(range.prefixBits);
  });
  if (faults.length > 0) throw new PlaceMapError(faults);
  const longestFirst = {
    ipv4: [...prefixes.ipv4].sort((a, b) => b - a),
    ipv6: [...prefixes.ipv6].sort((a, b) => b - a),
  };
  return {
    find: ({ kind, bytes }) => {
      for (const prefixBits of longestFirst[kind]) {
        const place = byRange.get(rangeKey({ kind, bytes: networkBytes(bytes, prefixBits), prefixBits }));
        if (place !== undefined) return place;
      }
      return undefined;
    },
  };
}

function readPlace({ country, subdivision }: MappedPlace): Place | string {
  if (!isCountry(country)) return `is mapped to no country: ${quoted(country)}`;
  if (subdivision === undefined) return { country };
  return isSubdivisionOf(subdivision, country)
    ? { country, subdivision }
    : `is mapped to no subdivision of ${country}: ${quoted(subdivision)}`;
}

function quoted(name: string): string {
  const hint = suggestPlace(name);
  return `${JSON.stringify(name.slice(0, 64))}${hint === undefined || hint === name ? '' : `; did you mean ${hint}?`}`;
}

function rangeKey({ bytes, prefixBits }: AddressRange): string {
  return `${bytes.join('.')}/${prefixBits}`;
}
