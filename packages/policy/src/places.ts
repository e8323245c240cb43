/**
 * Places as an algebra: ISO 3166-1 countries, ISO 3166-2 subdivisions and named domains; `in` minus `notIn`.
 *
 * A list is a set of points on the map, and a candidate is a region known to hold the machine. `contains` says yes only
 * if every point of the region is in the set, no only if none is, and unknown otherwise: a list with DE-BY and a machine
 * somewhere in DE are unknown both under `in` and under `notIn`. A country is taken to be more than the sum of its
 * subdivisions, so listing all of them never vouches for the country.
 *
 * Country codes do not overlap. An overseas territory with a code of its own (PR, GP, HK) is that code, as databases
 * report it, and not part of the state it belongs to; domains list such territories one by one.
 */
import type { Place } from './facts.ts';
import {
  BUILT_IN_PLACES,
  canonicalCode,
  isCountry,
  isSubdivision,
  isSubdivisionOf,
  withHolders,
} from './place-registry.ts';
import type { PlaceRegistry } from './place-registry.ts';
import { nearestPlace } from './nearest-place.ts';
import { COUNTRIES } from './places-data/countries.ts';

export const MAX_PLACES_IN_LIST = 1_000;

export type PlaceVerdict = 'yes' | 'no' | 'unknown';

export interface CompiledPlaces {
  /** Total: a candidate that does not exist or contradicts itself is unknown. */
  contains(candidate: Place): PlaceVerdict;
  /** Equal exactly for lists that come to the same set, whatever the names in them. */
  readonly text: string;
  /** The domains that the lists name, by id; a manifest's effective hash covers their versions. */
  readonly domains: readonly { readonly name: string; readonly version: string }[];
}

/** A name that is neither a code nor a domain, or a list that is too long. Manifests are checked before it can happen. */
export class PlaceListError extends Error {
  override readonly name = 'PlaceListError';
}

/** An ISO 3166 code or a domain's id, in capitals; `de` and `Germany` are not. */
export function isPlace(name: string, registry: PlaceRegistry = BUILT_IN_PLACES): boolean {
  return registry.domains.has(name) || isCountry(name) || isSubdivision(name);
}

/** The place that was probably meant, if one is near: `eu` EU, `UK` GB, `Germany` and `DEU` DE, `DE-BAY` DE-BY. */
export function suggestPlace(name: string, registry: PlaceRegistry = BUILT_IN_PLACES): string | undefined {
  return nearestPlace(name, registry);
}

/**
 * `inList` undefined: everywhere. Empty: nowhere. Throws PlaceListError, so that no list is ever compiled to less than
 * it says.
 */
export function compilePlaces(
  inList: readonly string[] | undefined,
  notInList: readonly string[] | undefined,
  registry: PlaceRegistry = BUILT_IN_PLACES,
): CompiledPlaces {
  const included = inList === undefined ? undefined : readList(inList, registry);
  const excluded = readList(notInList ?? [], registry);
  const named = [...(inList ?? []), ...(notInList ?? [])].filter((name) => registry.domains.has(name));
  const areas = included === undefined ? [excluded] : [included, excluded];
  const listed = listedInside(areas);
  const at = (code: string): PlaceVerdict =>
    minus(included === undefined ? 'yes' : covers(included, code), covers(excluded, code));
  const byCountry = new Map([...COUNTRIES].map((country) => [country, verdictOf(country, listed, at)]));
  return {
    contains: (candidate) => {
      if (candidate.subdivision === undefined) return byCountry.get(candidate.country) ?? 'unknown';
      if (!isSubdivisionOf(candidate.subdivision, candidate.country)) return 'unknown';
      return verdictOf(canonicalCode(candidate.subdivision), listed, at);
    },
    text: [included, excluded].map((area) => (area === undefined ? 'anywhere' : areaText(area))).join(' except '),
    domains: [...new Set(named)].sort().map((name) => ({ name, version: registry.domains.get(name)?.version ?? '' })),
  };
}

/** Canonical codes. */
interface Area {
  readonly members: ReadonlySet<string>;
  readonly unclear: ReadonlySet<string>;
}

function areaText({ members, unclear }: Area): string {
  return `${[...members].sort().join(',')}?${[...unclear].sort().join(',')}`;
}

function readList(names: readonly string[], registry: PlaceRegistry): Area {
  if (names.length > MAX_PLACES_IN_LIST)
    throw new PlaceListError(`a list of places holds at most ${MAX_PLACES_IN_LIST}`);
  const members = new Set<string>();
  const unclear = new Set<string>();
  for (const name of names) {
    const domain = registry.domains.get(name);
    if (domain === undefined && !isPlace(name, registry)) {
      throw new PlaceListError(`${JSON.stringify(name.slice(0, 64))} is no place`);
    }
    for (const code of domain?.members ?? [name]) members.add(canonicalCode(code));
    for (const code of domain?.unclear ?? []) unclear.add(canonicalCode(code));
  }
  return { members, unclear };
}

/** Whether the area holds the points of `code` that lie in none of its subdivisions. */
function covers({ members, unclear }: Area, code: string): PlaceVerdict {
  let verdict: PlaceVerdict = 'no';
  for (const holder of withHolders(code)) {
    if (members.has(holder)) return 'yes';
    if (unclear.has(holder)) verdict = 'unknown';
  }
  return verdict;
}

function minus(included: PlaceVerdict, excluded: PlaceVerdict): PlaceVerdict {
  if (included === 'no' || excluded === 'yes') return 'no';
  return included === 'yes' && excluded === 'no' ? 'yes' : 'unknown';
}

/**
 * The verdict on a whole region. The parts of it that no list names share the verdict of what holds them, so the region
 * itself and the listed places inside it are all that can differ.
 */
function verdictOf(
  region: string,
  listed: ReadonlyMap<string, readonly string[]>,
  at: (code: string) => PlaceVerdict,
): PlaceVerdict {
  const verdict = at(region);
  const inside = listed.get(region) ?? [];
  return inside.every((code) => at(code) === verdict) ? verdict : 'unknown';
}

/** Region to the places inside it that the lists name. */
function listedInside(areas: readonly Area[]): ReadonlyMap<string, readonly string[]> {
  const inside = new Map<string, string[]>();
  for (const code of new Set(areas.flatMap(({ members, unclear }) => [...members, ...unclear]))) {
    for (const holder of withHolders(code)) {
      if (holder === code) continue;
      const others = inside.get(holder);
      if (others === undefined) inside.set(holder, [code]);
      else others.push(code);
    }
  }
  return inside;
}
