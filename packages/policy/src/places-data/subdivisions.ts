/**
 * ISO 3166-2 as a forest: every subdivision has one parent, a country or a larger subdivision (GB-LND lies in GB-ENG).
 * The data is the Unicode CLDR's, pinned to one version: which codes exist decides which manifests are valid.
 */
import containment from 'cldr-core/supplemental/subdivisionContainment.json' with { type: 'json' };

/**
 * Codes that ISO lists as a subdivision of a state and as a country of its own. A database reports the country code, so
 * the subdivision code is a second name of that one place: US-PR is PR, and neither lies in US.
 */
export const SAME_PLACE: ReadonlyMap<string, string> = new Map([
  ['CN-HK', 'HK'],
  ['CN-MO', 'MO'],
  ['CN-TW', 'TW'],
  ['FI-01', 'AX'],
  ['FR-971', 'GP'],
  ['FR-972', 'MQ'],
  ['FR-973', 'GF'],
  ['FR-974', 'RE'],
  ['FR-976', 'YT'],
  ['FR-BL', 'BL'],
  ['FR-MF', 'MF'],
  ['FR-NC', 'NC'],
  ['FR-PF', 'PF'],
  ['FR-PM', 'PM'],
  ['FR-TF', 'TF'],
  ['FR-WF', 'WF'],
  ['NL-AW', 'AW'],
  ['NL-BQ1', 'BQ-BO'],
  ['NL-BQ2', 'BQ-SA'],
  ['NL-BQ3', 'BQ-SE'],
  ['NL-CW', 'CW'],
  ['NL-SX', 'SX'],
  ['US-AS', 'AS'],
  ['US-GU', 'GU'],
  ['US-MP', 'MP'],
  ['US-PR', 'PR'],
  ['US-UM', 'UM'],
  ['US-VI', 'VI'],
]);

/** SJ is one country code for two of Norway's subdivisions, so they lie in SJ and not in NO. */
const MOVED: ReadonlyMap<string, string> = new Map([
  ['NO-21', 'SJ'],
  ['NO-22', 'SJ'],
]);

/** Subdivision code to the country or subdivision that directly holds it, for example `FR-75C` to `FR-IDF`. */
export const PARENT_OF: ReadonlyMap<string, string> = new Map(readForest());

function* readForest(): Generator<[string, string]> {
  const forest: Readonly<Record<string, { readonly _contains: readonly string[] }>> =
    containment.supplemental.subdivisionContainment;
  for (const [holder, { _contains: parts }] of Object.entries(forest)) {
    const parent = isoCode(holder);
    for (const part of parts) {
      const code = isoCode(part);
      yield [code, MOVED.get(code) ?? parent];
    }
  }
}

/** CLDR writes `deby` for DE-BY, and countries as ISO does. */
function isoCode(cldrCode: string): string {
  const upper = cldrCode.toUpperCase();
  return upper.length === 2 ? upper : `${upper.slice(0, 2)}-${upper.slice(2)}`;
}
