import codeMappings from 'cldr-core/supplemental/codeMappings.json' with { type: 'json' };
import type { PlaceRegistry } from './place-registry.ts';
import { COUNTRIES } from './places-data/countries.ts';
import { PARENT_OF } from './places-data/subdivisions.ts';
import { closest } from './suggest.ts';

const MAX_NAME_LENGTH = 64;

/** What people write for a place and no list of names holds. */
const COLLOQUIAL: ReadonlyMap<string, string> = new Map([
  ['UK', 'GB'],
  ['GREAT BRITAIN', 'GB'],
  ['ENGLAND', 'GB-ENG'],
  ['SCOTLAND', 'GB-SCT'],
  ['WALES', 'GB-WLS'],
  ['NORTHERN IRELAND', 'GB-NIR'],
  ['EL', 'GR'],
  ['USA', 'US'],
  ['AMERICA', 'US'],
  ['UAE', 'AE'],
  ['HOLLAND', 'NL'],
  ['KOREA', 'KR'],
  ['NORDIC', 'NORDICS'],
  ['GDPR', 'GDPR-ADEQUATE'],
  ['EUROPE', 'EU'],
]);

/**
 * The code or domain nearest to what was written, for "did you mean": other spellings of codes, English names of
 * countries, alpha-3 codes, then small typing errors. Undefined where nothing is near; never more than a suggestion.
 */
export function nearestPlace(written: string, registry: PlaceRegistry): string | undefined {
  if (written.length > MAX_NAME_LENGTH) return undefined;
  const text = plain(written);
  const code = text.replace(/[ _]/g, '-');
  if (registry.domains.has(code) || COUNTRIES.has(code) || PARENT_OF.has(code)) return code;
  const known = COLLOQUIAL.get(text) ?? alpha3().get(code) ?? englishNames().get(text);
  if (known !== undefined) return known;
  const country = /^([A-Z]{2})-/.exec(code)?.[1];
  if (country !== undefined && COUNTRIES.has(country)) return closestSubdivision(code, country);
  // One edit turns any two letters into dozens of countries: a guess among them would be noise.
  if (text.length < 4) return undefined;
  const domain = closest(code, registry.domains.keys());
  if (domain !== undefined) return domain;
  const name = closest(text, englishNames().keys());
  return name === undefined ? undefined : englishNames().get(name);
}

function closestSubdivision(code: string, country: string): string | undefined {
  const ofCountry = [...PARENT_OF.keys()].filter((known) => known.startsWith(`${country}-`));
  // Short codes are all alike, so only a near miss that no other code shares is worth saying.
  const near = closest(code, ofCountry, 1);
  if (near === undefined) return undefined;
  const another = closest(
    code,
    ofCountry.filter((known) => known !== near),
    1,
  );
  return another === undefined ? near : undefined;
}

/** Capitals, no marks, no quotes: `Côte d’Ivoire` is COTE DIVOIRE. */
function plain(text: string): string {
  return text
    .trim()
    .normalize('NFD')
    .replace(/[\p{Mark}'’.]/gu, '')
    .replace(/\s+/g, ' ')
    .toUpperCase();
}

let namesOnce: ReadonlyMap<string, string> | undefined;
function englishNames(): ReadonlyMap<string, string> {
  if (namesOnce !== undefined) return namesOnce;
  const names = new Intl.DisplayNames('en', { type: 'region', fallback: 'none' });
  namesOnce = new Map([...COUNTRIES].map((code) => [plain(names.of(code) ?? code), code]));
  return namesOnce;
}

let alpha3Once: ReadonlyMap<string, string> | undefined;
function alpha3(): ReadonlyMap<string, string> {
  if (alpha3Once !== undefined) return alpha3Once;
  const codes = new Map<string, string>();
  const mappings: Readonly<Record<string, { readonly _alpha3?: string; readonly _numeric?: string }>> =
    codeMappings.supplemental.codeMappings;
  for (const [code, { _alpha3: three }] of Object.entries(mappings)) {
    if (three !== undefined && COUNTRIES.has(code) && code !== 'XK') codes.set(three, code);
  }
  alpha3Once = codes;
  return codes;
}
