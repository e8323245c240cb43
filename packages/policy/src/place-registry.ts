import { isPrincipalId } from './principal.ts';
import { COUNTRIES } from './places-data/countries.ts';
import { BUILT_IN_DOMAINS, type PlaceDomain } from './places-data/domains.ts';
import { PARENT_OF, SAME_PLACE } from './places-data/subdivisions.ts';

export type { PlaceDomain } from './places-data/domains.ts';

export const MAX_DOMAINS = 1_000;
export const MAX_DOMAIN_MEMBERS = 6_000;

/** Which names are places beside the ISO codes. Immutable: a change of a domain is a new registry. */
export interface PlaceRegistry {
  readonly domains: ReadonlyMap<string, PlaceDomain>;
}

/**
 * `NORDICS` is the network's, `org:acme/PLANTS` that of org:acme: a reader of a manifest sees whose list it is, and no
 * later built-in domain or one of the network can take its place.
 */
export function splitDomainId(id: string): { readonly owner: string | null; readonly name: string } {
  const slash = id.lastIndexOf('/');
  return slash < 0 ? { owner: null, name: id } : { owner: id.slice(0, slash), name: id.slice(slash + 1) };
}

/** All that is wrong with the domains handed to `createPlaceRegistry`, one sentence each. */
export class PlaceDomainError extends Error {
  override readonly name = 'PlaceDomainError';
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(faults.join('; '));
    this.faults = faults;
  }
}

/**
 * The built-in domains and further ones, for example those of a network's admins. Throws PlaceDomainError: an id that
 * stands twice or could be an ISO code, a version that is no date, a member that is no code.
 */
export function createPlaceRegistry(further: readonly PlaceDomain[]): PlaceRegistry {
  const domains = new Map(BUILT_IN_DOMAINS.map((domain) => [domain.id, domain]));
  const faults: string[] = [];
  if (further.length > MAX_DOMAINS) throw new PlaceDomainError([`more than ${MAX_DOMAINS} domains`]);
  for (const domain of further) {
    faults.push(...domainFaults(domain).map((fault) => `domain ${JSON.stringify(domain.id.slice(0, 64))}: ${fault}`));
    // A built-in domain that meant something else in one network would make manifests lie to their readers.
    if (domains.has(domain.id)) faults.push(`domain ${JSON.stringify(domain.id)}: the id is taken`);
    domains.set(domain.id, domain);
  }
  if (faults.length > 0) throw new PlaceDomainError(faults);
  return { domains };
}

export const BUILT_IN_PLACES: PlaceRegistry = createPlaceRegistry([]);

/** ISO 3166-1 alpha-2, upper case. */
export function isCountry(code: string): boolean {
  return COUNTRIES.has(code);
}

/** ISO 3166-2, upper case. */
export function isSubdivision(code: string): boolean {
  return PARENT_OF.has(code);
}

/** The code under which a place is compared: the country code, where ISO also lists it as a subdivision. */
export function canonicalCode(code: string): string {
  return SAME_PLACE.get(code) ?? code;
}

/** From the place itself outwards to its country, all canonical. */
export function* withHolders(canonical: string): Generator<string> {
  for (let code: string | undefined = canonical; code !== undefined; code = PARENT_OF.get(code)) yield code;
}

function countryOf(canonical: string): string {
  let country = canonical;
  for (const code of withHolders(canonical)) country = code;
  return country;
}

/** Whether a subdivision exists and lies in that country: FR-971 in FR, as ISO lists it, and in GP, as databases do. */
export function isSubdivisionOf(subdivision: string, country: string): boolean {
  if (!isCountry(country) || !isSubdivision(subdivision)) return false;
  return country === subdivision.slice(0, 2) || country === countryOf(canonicalCode(subdivision));
}

function domainFaults({ id, version, members, unclear = [] }: PlaceDomain): string[] {
  const faults: string[] = [];
  const { owner, name } = splitDomainId(id);
  if (!/^[A-Z][A-Z0-9]*(-[A-Z0-9]+)*$/.test(name) || name.length > 64) {
    faults.push('an id is capitals and digits, joined by hyphens, at most 64');
  }
  if (owner !== null && !isPrincipalId(owner)) faults.push('what stands before the last / is no principal');
  // Also codes that are free today: ISO may assign them, and the manifest would change its meaning.
  if (/^[A-Z]{2}(-[A-Z0-9]{1,3})?$/.test(name)) faults.push('the id has the shape of an ISO 3166 code');
  if (!isVersion(version)) faults.push('the version is no ISO 8601 date');
  if (members.length + unclear.length > MAX_DOMAIN_MEMBERS) faults.push(`more than ${MAX_DOMAIN_MEMBERS} members`);
  else {
    const unknown = [...members, ...unclear].filter((code) => !isCountry(code) && !isSubdivision(code));
    if (unknown.length > 0) faults.push(`no ISO 3166 code: ${unknown.slice(0, 8).join(', ')}`);
  }
  return faults;
}

/** A date; a domain that may change twice a day adds its number: `2026-11-23.4`. */
function isVersion(text: string): boolean {
  return isDate(text.replace(/\.\d{1,9}$/, ''));
}

function isDate(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const time = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(time.getTime()) && time.toISOString().startsWith(text);
}
