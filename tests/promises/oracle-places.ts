/**
 * Places as sets of points, on a map that is drawn here by hand. Only the places below exist for the tests that compare
 * with it; the product knows all of ISO 3166.
 */
import type { Place } from '@subcloud/policy/facts';

/** A country is the parts that the tests name and the rest of it: knowing the country alone, a machine may be in any. */
const COUNTRY_POINTS: Readonly<Record<string, readonly string[]>> = {
  DE: ['DE-BY', 'DE-BE', 'elsewhere in DE'],
  FR: ['FR-IDF', 'elsewhere in FR'],
  HU: ['HU-BU', 'elsewhere in HU'],
  IE: ['IE'],
  PL: ['PL'],
  // Outermost regions and islands with a code of their own are not part of the state's code.
  GP: ['GP'],
  RE: ['RE'],
  AX: ['AX'],
  FI: ['FI'],
  NC: ['NC'],
  GL: ['GL'],
  FO: ['FO'],
  DK: ['DK'],
  NO: ['NO'],
  IS: ['IS'],
  LI: ['LI'],
  SJ: ['SJ'],
  CH: ['CH-ZH', 'elsewhere in CH'],
  GB: ['GB'],
  GI: ['GI'],
  US: ['US-CA', 'US-TX', 'elsewhere in US'],
  PR: ['PR'],
  SG: ['SG'],
  XK: ['XK'],
};
/** ISO lists these twice; both names mean the one point. */
const SAME_POINT: Readonly<Record<string, string>> = { 'FR-974': 'RE', 'FR-NC': 'NC', 'US-PR': 'PR' };

/** Article 52 of the Treaty on European Union, and the regions of article 349 and Åland, where the Treaties apply. */
const EU = [
  'AT',
  'BE',
  'BG',
  'HR',
  'CY',
  'CZ',
  'DK',
  'EE',
  'FI',
  'FR',
  'DE',
  'GR',
  'HU',
  'IE',
  'IT',
  'LV',
  'LT',
  'LU',
  'MT',
  'NL',
  'PL',
  'PT',
  'RO',
  'SK',
  'SI',
  'ES',
  'SE',
  'GP',
  'GF',
  'MQ',
  'MF',
  'RE',
  'YT',
  'AX',
];
/** The Union and the three of EFTA that are in the Area; neither Switzerland nor Svalbard is. */
const EEA = [...EU, 'IS', 'LI', 'NO'];

export const COUNTRIES = Object.keys(COUNTRY_POINTS);
export const SUBDIVISIONS = [
  ...Object.values(COUNTRY_POINTS).flatMap((points) => points.filter((point) => /^[A-Z]{2}-[A-Z0-9]+$/.test(point))),
  ...Object.keys(SAME_POINT),
];
/** What a manifest may name on this map. */
export const PLACE_NAMES = [...COUNTRIES, ...SUBDIVISIONS, 'EU', 'EEA'];

/** `in` minus `notIn`: yes if the machine is certainly in it, no if it certainly is not. */
export function placesHold(
  inList: readonly string[] | undefined,
  notInList: readonly string[] | undefined,
  candidate: Place,
): 'yes' | 'no' | 'unknown' {
  const where = pointsOfCandidate(candidate);
  if (where.length === 0) return 'unknown';
  const wanted = inList === undefined ? undefined : new Set(inList.flatMap(pointsOfName));
  const unwanted = new Set((notInList ?? []).flatMap(pointsOfName));
  const inside = where.filter((point) => (wanted === undefined || wanted.has(point)) && !unwanted.has(point));
  if (inside.length === where.length) return 'yes';
  return inside.length === 0 ? 'no' : 'unknown';
}

function pointsOfCandidate({ country, subdivision }: Place): readonly string[] {
  const inCountry = Object.hasOwn(COUNTRY_POINTS, country) ? (COUNTRY_POINTS[country] ?? []) : [];
  if (subdivision === undefined) return inCountry;
  if (!subdivision.startsWith(`${country}-`)) return [];
  const point = SAME_POINT[subdivision] ?? subdivision;
  return SUBDIVISIONS.includes(subdivision) ? [point] : [];
}

function pointsOfName(name: string): readonly string[] {
  if (name === 'EU') return EU.flatMap(pointsOfName);
  if (name === 'EEA') return EEA.flatMap(pointsOfName);
  const point = SAME_POINT[name];
  if (point !== undefined) return [point];
  return COUNTRY_POINTS[name] ?? [name];
}
