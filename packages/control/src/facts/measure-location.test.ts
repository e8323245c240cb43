import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { Reader } from 'maxmind';
import { describe, expect, it } from 'vitest';
import { type MeasuredLocation, openLocationMeasurer } from './measure-location.ts';
import { MAX_MAPPED_PLACES, type MappedPlace, PlaceMapError } from './place-map.ts';

const unmapped = openLocationMeasurer({ places: [] });
const unknown: MeasuredLocation = { candidates: [], evidence: 'none' };
const readers = ['geo-whois-asn-country', 'dbip-country'].map(
  (name) =>
    new Reader(readFileSync(createRequire(import.meta.url).resolve(`@ip-location-db/${name}-mmdb/${name}.mmdb`))),
);

describe('measuring with the databases', () => {
  // Institutions that number their own buildings: their ranges have stood where they stand for decades.
  it.each([
    ['RIPE NCC, Amsterdam', '193.0.6.139', 'NL'],
    ['SWITCH, Zürich', '130.59.31.80', 'CH'],
    ['SWITCH, Zürich', '2001:620::1', 'CH'],
    ['ETH Zürich', '129.132.1.1', 'CH'],
    ['University of Tokyo', '133.11.0.1', 'JP'],
    ['NIC.br, São Paulo', '200.160.2.3', 'BR'],
    ['APNIC, Brisbane', '202.12.29.205', 'AU'],
    ['AFRINIC', '196.216.2.1', 'ZA'],
    ['MIT, Cambridge', '128.30.0.1', 'US'],
    ['University of Cambridge', '131.111.1.1', 'GB'],
    ['Hetzner, Falkenstein', '88.198.0.1', 'DE'],
    ['Hetzner, Falkenstein', '2a01:4f8::1', 'DE'],
  ])('puts %s at %s in %s', (_, address, country) => {
    expect(unmapped.measure(address)).toEqual({ candidates: [{ country }], evidence: 'databases' });
  });

  it('gives what both say where they agree, both where they differ, and nothing where one is silent', () => {
    const seen = { agree: 0, differ: 0, silent: 0 };
    // A fixed walk over the whole of IPv4, on which every case occurs.
    for (let step = 0; step < 6_000; step++) {
      const address = [24, 16, 8, 0].map((shift) => ((step * 715_517) >>> shift) & 255).join('.');
      const countries = new Set(readers.map((reader) => rawCountry(reader, address)));
      const measured = unmapped.measure(address);
      if (countries.has(undefined)) {
        seen.silent++;
        expect([address, measured]).toEqual([address, unknown]);
      } else if (measured.evidence === 'databases') {
        seen[countries.size === 1 ? 'agree' : 'differ']++;
        expect(new Set(measured.candidates.map(({ country }) => country))).toEqual(countries);
      }
    }
    expect(seen.agree).toBeGreaterThan(1_000);
    expect(seen.differ).toBeGreaterThan(10);
    expect(seen.silent).toBeGreaterThan(10);
  });

  it('reads IPv4 that is mapped into IPv6 as IPv4, in every spelling', () => {
    for (const address of ['::ffff:193.0.6.139', '::FFFF:c100:68b', '0:0:0:0:0:ffff:193.0.6.139']) {
      expect(unmapped.measure(address)).toEqual({ candidates: [{ country: 'NL' }], evidence: 'databases' });
    }
  });

  it.each([
    ['private', '10.1.2.3'],
    ['private', '172.16.0.1'],
    ['private', '192.168.1.1'],
    ['private, mapped', '::ffff:192.168.1.1'],
    ['shared by carriers', '100.64.0.1'],
    ['loopback', '127.0.0.1'],
    ['loopback', '::1'],
    ['link-local', '169.254.1.1'],
    ['link-local with a zone', 'fe80::1%eth0'],
    ['unique local', 'fd00::1'],
    ['for documents', '192.0.2.1'],
    ['for documents', '2001:db8::1'],
    ['for benchmarks', '198.18.0.1'],
    ['multicast', '224.0.0.1'],
    ['multicast', 'ff02::1'],
    ['reserved', '240.0.0.1'],
    ['anycast from everywhere, AS112', '2620:4f:8000::1'],
    ['unspecified', '0.0.0.0'],
    ['unspecified', '::'],
    ['tunnelled, 6to4', '2002:808:808::1'],
    ['tunnelled, Teredo', '2001::1'],
    ['translated, NAT64', '64:ff9b::808:808'],
    ['compatible with IPv4', '::8.8.8.8'],
    ['compatible with IPv4', '::808:808'],
  ])('knows nothing of an address that is %s: %s', (_, address) => {
    expect(unmapped.measure(address)).toEqual(unknown);
  });

  it('knows nothing of what is no address, and never throws', () => {
    for (const text of [
      '',
      'localhost',
      '8.8.8',
      '010.0.0.1',
      '0x8.8.8.8',
      '8.8.8.8:443',
      '[::1]',
      '8.8.8.8/32',
      ' 8.8.8.8',
    ]) {
      expect([text, unmapped.measure(text)]).toEqual([text, unknown]);
    }
    const text = fc.oneof(
      fc.string(),
      fc.ipV4(),
      fc.ipV6(),
      fc.string({ unit: fc.constantFrom(...'0123456789abcdf:.%/'.split('')) }),
    );
    fc.assert(
      fc.property(text, (address) => {
        const { candidates, evidence } = unmapped.measure(address);
        expect(candidates.length === 0).toBe(evidence === 'none');
      }),
      { numRuns: 1_000 },
    );
  });

  it('says what it asked and how old that is', () => {
    expect(unmapped.databases.map(({ name }) => name)).toEqual(['geo-whois-asn-country', 'dbip-country']);
    for (const { builtAtMs } of unmapped.databases) expect(builtAtMs).toBeGreaterThan(Date.UTC(2026, 0));
  });
});

describe('measuring with the map', () => {
  it('prefers it to the databases, takes the longest range, and IPv4 in either notation', () => {
    const { measure } = openLocationMeasurer({
      places: [
        { cidr: '193.0.0.0/16', country: 'FR' },
        { cidr: '::ffff:193.0.6.0/120', country: 'DE', subdivision: 'DE-BY' },
        { cidr: '127.0.0.2/32', country: 'CH' },
        { cidr: 'fd00::/8', country: 'SE' },
        { cidr: 'fd00:0:0:1::/64', country: 'NO' },
        { cidr: '10.0.0.0/8', country: 'GP', subdivision: 'FR-971' },
      ],
    });
    expect(measure('193.0.6.139')).toEqual({ candidates: [{ country: 'DE', subdivision: 'DE-BY' }], evidence: 'map' });
    expect(measure('::ffff:193.0.7.1')).toEqual({ candidates: [{ country: 'FR' }], evidence: 'map' });
    expect(measure('127.0.0.2')).toEqual({ candidates: [{ country: 'CH' }], evidence: 'map' });
    expect(measure('127.0.0.3')).toEqual(unknown);
    expect(measure('fd00:0:0:1::7')).toEqual({ candidates: [{ country: 'NO' }], evidence: 'map' });
    expect(measure('fd00:0:0:2::7')).toEqual({ candidates: [{ country: 'SE' }], evidence: 'map' });
    expect(measure('10.9.9.9').candidates).toEqual([{ country: 'GP', subdivision: 'FR-971' }]);
    expect(measure('130.59.31.80').evidence).toBe('databases');
  });

  it('keeps the families apart: a range of all IPv6 holds no IPv4', () => {
    const { measure } = openLocationMeasurer({ places: [{ cidr: '::/0', country: 'SE' }] });
    expect(measure('::ffff:10.0.0.1')).toEqual(unknown);
    expect(measure('::1').candidates).toEqual([{ country: 'SE' }]);
  });

  it('finds for any map and address the place of the longest range that holds it, as a search through all does', () => {
    const countries = ['DE', 'FR', 'CH', 'SE'];
    const range = fc
      .tuple(fc.nat(0xffff), fc.integer({ min: 0, max: 32 }), fc.constantFrom(...countries))
      .map(([low, bits, country]) => ({
        start: bits === 0 ? 0 : (((10 << 24) | (low << 8)) & -(2 ** (32 - bits))) >>> 0,
        bits,
        country,
      }));
    fc.assert(
      fc.property(
        fc.uniqueArray(range, { maxLength: 12, selector: ({ start, bits }) => `${start}/${bits}` }),
        fc.nat(0xffffff),
        (ranges, low) => {
          const address = ((10 << 24) | low) >>> 0;
          const holds = ({ start, bits }: (typeof ranges)[number]): boolean =>
            bits === 0 || address >>> (32 - bits) === start >>> (32 - bits);
          const longest = ranges.filter(holds).sort((a, b) => b.bits - a.bits)[0];
          const { measure } = openLocationMeasurer({
            places: ranges.map(({ start, bits, country }) => ({ cidr: `${dotted(start)}/${bits}`, country })),
          });
          const wanted =
            longest === undefined ? unknown : { candidates: [{ country: longest.country }], evidence: 'map' };
          expect(measure(dotted(address))).toEqual(wanted);
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each<[string, MappedPlace, string]>([
    ['an address without prefix', { cidr: '10.0.0.1', country: 'DE' }, 'lacks its /prefix'],
    ['no range at all', { cidr: 'home', country: 'DE' }, 'is no range'],
    ['an octal address', { cidr: '010.0.0.0/8', country: 'DE' }, 'has no valid address'],
    ['a short address', { cidr: '10/8', country: 'DE' }, 'has no valid address'],
    ['a prefix that is too long', { cidr: '10.0.0.0/33', country: 'DE' }, 'has a prefix longer than 32'],
    ['a prefix that is too long', { cidr: '::/129', country: 'DE' }, 'has a prefix longer than 128'],
    ['an address inside of its range', { cidr: '10.1.2.3/8', country: 'DE' }, 'did you mean 10.0.0.0/8?'],
    ['more than what is mapped', { cidr: '::ffff:0.0.0.0/90', country: 'DE' }, 'write the IPv4 range'],
    ['a zone', { cidr: 'fe80::%eth0/64', country: 'DE' }, 'is no range'],
    ['no country', { cidr: '10.0.0.0/8', country: 'UK' }, 'is mapped to no country: "UK"; did you mean GB?'],
    ['a domain', { cidr: '10.0.0.0/8', country: 'EU' }, 'is mapped to no country: "EU"'],
    [
      'a subdivision elsewhere',
      { cidr: '10.0.0.0/8', country: 'DE', subdivision: 'FR-IDF' },
      'no subdivision of DE: "FR-IDF"',
    ],
    ['no subdivision', { cidr: '10.0.0.0/8', country: 'DE', subdivision: 'DE-BAY' }, 'did you mean DE-BY?'],
  ])('refuses %s and names the entry', (_, place, text) => {
    const faults = faultsOf([{ cidr: '127.0.0.1/32', country: 'DE' }, place]);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(`places[1] ${JSON.stringify(place.cidr)}`);
    expect(faults[0]).toContain(text);
  });

  it('refuses one range in two places, however it is written, and takes one that stands twice', () => {
    expect(
      faultsOf([
        { cidr: '10.0.0.0/8', country: 'DE' },
        { cidr: '::ffff:10.0.0.0/104', country: 'FR' },
      ]),
    ).toEqual(['places[1] "::ffff:10.0.0.0/104" is also mapped to DE']);
    expect(
      faultsOf([
        { cidr: 'FD00::/8', country: 'DE' },
        { cidr: 'fd00:0::/8', country: 'DE', subdivision: 'DE-BE' },
      ]),
    ).toHaveLength(1);
    expect(
      faultsOf([
        { cidr: '10.0.0.0/8', country: 'DE' },
        { cidr: '10.0.0.0/8', country: 'DE' },
      ]),
    ).toEqual([]);
  });

  it('reports all faults of a map at once, and refuses one that is too long', () => {
    const faulty = Array.from({ length: 50 }, (_, index) => ({ cidr: `10.0.${index}.1/24`, country: 'DE' }));
    expect(faultsOf(faulty)).toHaveLength(50);
    expect(
      faultsOf(Array.from({ length: MAX_MAPPED_PLACES + 1 }, () => ({ cidr: '10.0.0.0/8', country: 'DE' }))),
    ).toHaveLength(1);
  });
});

function rawCountry(reader: (typeof readers)[number], address: string): unknown {
  const found: unknown = reader.get(address);
  return typeof found === 'object' && found !== null && 'country_code' in found ? found.country_code : undefined;
}

function faultsOf(places: readonly MappedPlace[]): readonly string[] {
  try {
    openLocationMeasurer({ places });
    return [];
  } catch (error) {
    if (error instanceof PlaceMapError) return error.faults;
    throw error;
  }
}

function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}
