/**
 * Where the machine behind an address probably is. Evidence, not proof: a VPN or a proxy shows its own place.
 *
 * The admin's map comes first and counts as measured. Else both address databases are asked: where they agree there is
 * one candidate, where they differ both are, and a clause then needs every candidate to pass. Where one of them is
 * silent nothing confirms the other, so the place is as unknown as where both are. Private, loopback, reserved and
 * tunnelled addresses say nothing about a place unless the map does.
 */
import type { Place } from '@subcloud/policy/facts';
import { parseAddress } from './address.ts';
import { countryDatabases } from './country-databases.ts';
import { type MappedPlace, readPlaceMap } from './place-map.ts';

export interface MeasuredLocation {
  /** In alphabetical order; none where nothing is known. */
  readonly candidates: readonly Place[];
  readonly evidence: 'map' | 'databases' | 'none';
}

export interface LocationMeasurer {
  /** Total. `address` as a socket reports it, IPv4 mapped into IPv6 included; what is no address is unknown. */
  readonly measure: (address: string) => MeasuredLocation;
  /** What is asked where the map is silent, and when it was built. */
  readonly databases: readonly { readonly name: string; readonly builtAtMs: number }[];
}

const UNKNOWN: MeasuredLocation = { candidates: [], evidence: 'none' };

/** Throws PlaceMapError, which names each faulty entry of `places`. Reads the databases once a process (16 MB). */
export function openLocationMeasurer({ places }: { readonly places: readonly MappedPlace[] }): LocationMeasurer {
  const map = readPlaceMap(places);
  const databases = countryDatabases();
  return {
    measure: (text) => {
      const address = parseAddress(text);
      if (address === undefined) return UNKNOWN;
      const mapped = map.find(address);
      if (mapped !== undefined) return { candidates: [mapped], evidence: 'map' };
      if (!address.isPublic) return UNKNOWN;
      const countries = new Set<string>();
      for (const database of databases) {
        const country = database.countryOf(address.text);
        if (country === undefined) return UNKNOWN;
        countries.add(country);
      }
      return { candidates: [...countries].sort().map((country) => ({ country })), evidence: 'databases' };
    },
    databases: databases.map(({ name, builtAtMs }) => ({ name, builtAtMs })),
  };
}
