import aliases from 'cldr-core/supplemental/aliases.json' with { type: 'json' };
import containment from 'cldr-core/supplemental/subdivisionContainment.json' with { type: 'json' };
import territories from 'cldr-core/supplemental/territoryContainment.json' with { type: 'json' };
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Place } from './facts.ts';
import { BUILT_IN_PLACES, createPlaceRegistry, PlaceDomainError } from './place-registry.ts';
import { COUNTRIES } from './places-data/countries.ts';
import { BUILT_IN_DOMAINS } from './places-data/domains.ts';
import { PARENT_OF, SAME_PLACE } from './places-data/subdivisions.ts';
import {
  compilePlaces,
  isPlace,
  MAX_PLACES_IN_LIST,
  PlaceListError,
  type PlaceVerdict,
  suggestPlace,
} from './places.ts';

const subdivisions = [...PARENT_OF.keys()];
const domainIds = BUILT_IN_DOMAINS.map(({ id }) => id);

describe('the codes', () => {
  it('are the territories of CLDR less groups, former states and codes that ISO only reserves', () => {
    const known: Readonly<Record<string, { readonly _contains?: readonly string[] }>> =
      territories.supplemental.territoryContainment;
    const leaves = new Set(Object.values(known).flatMap(({ _contains = [] }) => _contains));
    const notAssigned = new Set('AC CP CQ DG EA IC TA EU EZ UN QO QU AN BU CS DD FX NT SU TP YD YU ZR'.split(' '));
    const assigned = [...leaves].filter((code) => /^[A-Z]{2}$/.test(code) && !notAssigned.has(code));
    expect([...COUNTRIES].sort()).toEqual(assigned.sort());
    expect(COUNTRIES.size).toBe(250);
  });

  it('lie, every subdivision, in a country that exists', () => {
    expect(subdivisions.length).toBeGreaterThan(5_000);
    for (const code of subdivisions) {
      let holder: string = code;
      for (let steps = 0; PARENT_OF.has(holder); steps++) {
        expect(steps).toBeLessThan(4);
        holder = PARENT_OF.get(holder) ?? '';
      }
      expect([code, COUNTRIES.has(holder)]).toEqual([code, true]);
    }
  });

  it('that ISO lists twice name places that exist, and agree with CLDR where CLDR has them', () => {
    for (const [subdivision, place] of SAME_PLACE) {
      expect([subdivision, PARENT_OF.has(subdivision)]).toEqual([subdivision, true]);
      expect([place, isPlace(place)]).toEqual([place, true]);
    }
    const known: Readonly<Record<string, { readonly _replacement: string; readonly _reason: string }>> =
      aliases.supplemental.metadata.alias.subdivisionAlias;
    const twice = Object.entries(known).filter(([, { _reason }]) => _reason === 'overlong');
    const compared = twice.flatMap(([code, { _replacement }]) => {
      const ours = SAME_PLACE.get(`${code.slice(0, 2)}-${code.slice(2)}`.toUpperCase());
      return ours === undefined ? [] : [[ours, _replacement]];
    });
    expect(compared.length).toBeGreaterThanOrEqual(15);
    for (const [ours, cldrs] of compared) expect(ours).toBe(cldrs);
  });
});

describe('the domains', () => {
  it('hold only codes, in no list twice, and have a dated version', () => {
    for (const { id, version, members, unclear = [] } of BUILT_IN_DOMAINS) {
      const all = [...members, ...unclear];
      expect([id, new Set(all).size]).toEqual([id, all.length]);
      expect([id, all.filter((code) => !COUNTRIES.has(code))]).toEqual([id, []]);
      expect(new Date(version).toISOString().slice(0, 10)).toBe(version);
    }
  });

  it('never change their members under the version that they had', () => {
    const listed = ({ members, unclear = [] }: (typeof BUILT_IN_DOMAINS)[number]): string =>
      [[...members].sort().join(' '), [...unclear].sort().join(' ')].join(' | ');
    // A failure here means: give the domain a new version, then write the new line down.
    expect(
      Object.fromEntries(BUILT_IN_DOMAINS.map((domain) => [`${domain.id} ${domain.version}`, listed(domain)])),
    ).toEqual({
      'EU 2020-02-01':
        'AT AX BE BG CY CZ DE DK EE ES FI FR GF GP GR HR HU IE IT LT LU LV MF MQ MT NL PL PT RE RO SE SI SK YT | ',
      'EEA 2020-02-01':
        'AT AX BE BG CY CZ DE DK EE ES FI FR GF GP GR HR HU IE IS IT LI LT LU LV MF MQ MT NL NO PL PT RE RO SE SI SK YT | ',
      'EFTA 1995-01-01': 'CH IS LI NO | SJ',
      'GDPR-ADEQUATE 2026-01-26': 'AD AR BR CH FO GB GG IL IM JE JP KR NZ UY | CA US',
      'FIVE-EYES 1956-10-10':
        'AU CA GB NZ US | AI AS BM CC CK CX FK GG GI GS GU HM IM IO JE KY MP MS NF NU PN PR SH TC TK UM VG VI',
      'ASEAN 2025-10-26': 'BN ID KH LA MM MY PH SG TH TL VN | ',
      'MERCOSUR 2024-08-07': 'AR BO BR PY UY | VE',
      'GCC 1981-05-25': 'AE BH KW OM QA SA | ',
      'BENELUX 2012-01-01': 'BE LU NL | ',
      'NORDICS 2007-09-05': 'AX DK FI FO GL IS NO SE | SJ',
    });
  });

  it('agree with CLDR on the 27 member states of the EU', () => {
    const overseas = new Set('AX GF GP MF MQ RE YT'.split(' '));
    const states = (BUILT_IN_PLACES.domains.get('EU')?.members ?? []).filter((code) => !overseas.has(code));
    expect(states.sort()).toEqual(territories.supplemental.territoryContainment.EU._contains.toSorted());
  });

  it('count the outermost regions and Åland in the EU, and the overseas countries and territories out of it', () => {
    const eu = compilePlaces(['EU'], undefined);
    const inside = 'GP MQ GF RE YT MF AX'.split(' ');
    expect(inside.filter((country) => eu.contains({ country }) !== 'yes')).toEqual([]);
    const outside = 'NC PF PM WF TF BL AW CW SX BQ GL FO SJ GI GB CH NO XK'.split(' ');
    expect(outside.filter((country) => eu.contains({ country }) !== 'no')).toEqual([]);
    // The same island under the code that ISO gives it as a part of France.
    expect(eu.contains({ country: 'FR', subdivision: 'FR-974' })).toBe('yes');
    expect(eu.contains({ country: 'FR', subdivision: 'FR-NC' })).toBe('no');
  });
});

describe('compilePlaces', () => {
  it('answers unknown for a country of which only a part is listed, under in and under notIn', () => {
    expect(compilePlaces(['DE-BY'], undefined).contains({ country: 'DE' })).toBe('unknown');
    expect(compilePlaces(undefined, ['DE-BY']).contains({ country: 'DE' })).toBe('unknown');
    expect(compilePlaces(['EU'], ['DE-BY']).contains({ country: 'DE' })).toBe('unknown');
    expect(compilePlaces(['EU'], ['DE-BY']).contains({ country: 'DE', subdivision: 'DE-BE' })).toBe('yes');
    expect(compilePlaces(['EU'], ['DE-BY']).contains({ country: 'FR' })).toBe('yes');
  });

  it('does not take all subdivisions of a country for the country', () => {
    const states = subdivisions.filter((code) => code.startsWith('DE-'));
    expect(compilePlaces(states, undefined).contains({ country: 'DE' })).toBe('unknown');
  });

  it('knows that a subdivision lies in a larger one', () => {
    const england = compilePlaces(['GB-ENG'], undefined);
    expect(england.contains({ country: 'GB', subdivision: 'GB-LND' })).toBe('yes');
    expect(england.contains({ country: 'GB', subdivision: 'GB-EDH' })).toBe('no');
    expect(compilePlaces(['GB-LND'], undefined).contains({ country: 'GB', subdivision: 'GB-ENG' })).toBe('unknown');
  });

  it('keeps an overseas territory with a code of its own apart from its state', () => {
    expect(compilePlaces(['US'], undefined).contains({ country: 'PR' })).toBe('no');
    expect(compilePlaces(['US'], undefined).contains({ country: 'US', subdivision: 'US-PR' })).toBe('no');
    expect(compilePlaces(undefined, ['US-PR']).contains({ country: 'PR' })).toBe('no');
    expect(compilePlaces(['NO-21'], undefined).contains({ country: 'SJ' })).toBe('unknown');
    expect(compilePlaces(['SJ'], undefined).contains({ country: 'NO', subdivision: 'NO-21' })).toBe('yes');
  });

  it('passes neither in nor notIn where a domain cannot tell by the code', () => {
    for (const country of ['CA', 'US']) {
      expect(compilePlaces(['GDPR-ADEQUATE'], undefined).contains({ country })).toBe('unknown');
      expect(compilePlaces(undefined, ['GDPR-ADEQUATE']).contains({ country })).toBe('unknown');
      expect(compilePlaces(['GDPR-ADEQUATE', country], undefined).contains({ country })).toBe('yes');
    }
    expect(compilePlaces(undefined, ['FIVE-EYES']).contains({ country: 'GU' })).toBe('unknown');
  });

  it('answers unknown for a candidate that does not exist or contradicts itself', () => {
    for (const places of [
      compilePlaces(undefined, undefined),
      compilePlaces(['EU'], []),
      compilePlaces(undefined, ['EU']),
    ]) {
      expect(places.contains({ country: 'ZZ' })).toBe('unknown');
      expect(places.contains({ country: 'de' })).toBe('unknown');
      expect(places.contains({ country: '' })).toBe('unknown');
      expect(places.contains({ country: 'EU' })).toBe('unknown');
      expect(places.contains({ country: 'FR', subdivision: 'DE-BY' })).toBe('unknown');
      expect(places.contains({ country: 'DE', subdivision: 'DE-ZZ' })).toBe('unknown');
      expect(places.contains({ country: '__proto__' })).toBe('unknown');
    }
  });

  it('takes an absent in for everywhere and an empty one for nowhere', () => {
    for (const country of COUNTRIES) {
      expect(compilePlaces(undefined, undefined).contains({ country })).toBe('yes');
      expect(compilePlaces([], undefined).contains({ country })).toBe('no');
    }
  });

  it('names each domain that it used once, with its version', () => {
    expect(compilePlaces(['EU', 'CH', 'EU'], ['GCC', 'EU']).domains).toEqual([
      { name: 'EU', version: '2020-02-01' },
      { name: 'GCC', version: '1981-05-25' },
    ]);
    expect(compilePlaces(['DE'], undefined).domains).toEqual([]);
  });

  it('refuses a name that is no place and a list that is too long', () => {
    expect(() => compilePlaces(['DE', 'XX'], undefined)).toThrow(PlaceListError);
    expect(() => compilePlaces(undefined, ['eu'])).toThrow(PlaceListError);
    expect(() =>
      compilePlaces(
        Array.from({ length: MAX_PLACES_IN_LIST + 1 }, () => 'DE'),
        [],
      ),
    ).toThrow(PlaceListError);
  });

  it('decides every single code as the set of its points does', () => {
    for (const code of [...COUNTRIES, ...subdivisions]) {
      const lists = [compilePlaces([code], undefined), compilePlaces(undefined, [code])] as const;
      for (const candidate of [asPlace(code), { country: code.slice(0, 2) }, { country: 'AQ' }]) {
        expect([code, candidate, ...lists.map((places) => places.contains(candidate))]).toEqual([
          code,
          candidate,
          naive([code], [], candidate),
          naive(undefined, [code], candidate),
        ]);
      }
    }
  });

  it('decides any lists and candidate as a naive set of points does', () => {
    // Few countries, so that lists and candidates meet; with deep trees, double codes and territories among them.
    const close = ['DE', 'FR', 'GP', 'GB', 'NO', 'SJ', 'US', 'PR', 'AZ', 'BQ', 'NL', 'CA', 'XK'];
    const codes = [...close, ...subdivisions.filter((code) => close.includes(code.slice(0, 2)))];
    const code = fc.oneof(
      { weight: 1, arbitrary: fc.constantFrom(...close) },
      { weight: 2, arbitrary: fc.constantFrom(...codes) },
    );
    const name = fc.oneof({ weight: 4, arbitrary: code }, { weight: 1, arbitrary: fc.constantFrom(...domainIds) });
    const names = fc.array(name, { maxLength: 6 });
    const candidate = fc.oneof(
      { weight: 6, arbitrary: code.map(asPlace) },
      {
        weight: 1,
        arbitrary: fc.record({ country: fc.constantFrom(...close), subdivision: fc.constantFrom(...codes) }),
      },
      { weight: 1, arbitrary: fc.record({ country: fc.string({ maxLength: 3 }) }) },
    );
    fc.assert(
      fc.property(fc.option(names, { nil: undefined }), names, candidate, (inList, notInList, place) => {
        expect(compilePlaces(inList, notInList).contains(place)).toBe(naive(inList, notInList, place));
      }),
      { numRuns: 3_000 },
    );
  });
});

describe('isPlace and suggestPlace', () => {
  it('takes codes and domains in capitals only', () => {
    expect([...COUNTRIES, ...subdivisions, ...domainIds].filter((name) => !isPlace(name))).toEqual([]);
    const others = ['eu', 'De', 'DE-by', 'UK', 'DEU', '', 'Germany', 'DE-', '-BY', 'ZZ', 'constructor', 'EU '];
    expect(others.filter((name) => isPlace(name))).toEqual([]);
  });

  it.each([
    ['eu', 'EU'],
    ['UK', 'GB'],
    ['DEU', 'DE'],
    ['Germany', 'DE'],
    ['Germnay', 'DE'],
    ['Cote d’Ivoire', 'CI'],
    ['de_by', 'DE-BY'],
    ['DE-BAY', 'DE-BY'],
    ['five eyes', 'FIVE-EYES'],
    ['GDPR-ADEQUAT', 'GDPR-ADEQUATE'],
    ['XX', undefined],
    ['DE-BX', undefined],
  ])('suggests for %s: %s', (written, meant) => {
    expect(suggestPlace(written)).toBe(meant);
  });

  it('suggests nothing for a name that is too long to be one', () => {
    expect(suggestPlace(`${' '.repeat(1_000_000)}eu`)).toBeUndefined();
  });

  it('suggests only places, whatever was written', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary', maxLength: 80 })), (written) => {
        const suggestion = suggestPlace(written);
        expect(suggestion === undefined || isPlace(suggestion)).toBe(true);
      }),
    );
  });
});

describe('createPlaceRegistry', () => {
  const further = { id: 'ACME-SITES', title: 'Sites of Acme', version: '2026-03-01', members: ['DE-BY', 'CH'] };

  it('adds domains that compile, are versioned and can be suggested like the built-in ones', () => {
    const registry = createPlaceRegistry([further]);
    const places = compilePlaces(['ACME-SITES'], undefined, registry);
    expect(places.contains({ country: 'CH', subdivision: 'CH-ZH' })).toBe('yes');
    expect(places.contains({ country: 'DE' })).toBe('unknown');
    expect(places.domains).toEqual([{ name: 'ACME-SITES', version: '2026-03-01' }]);
    expect(suggestPlace('acme sites', registry)).toBe('ACME-SITES');
    expect(isPlace('ACME-SITES', registry)).toBe(true);
    expect(isPlace('ACME-SITES')).toBe(false);
  });

  it.each([
    ['an id that is taken', { ...further, id: 'GCC' }],
    ['an id in small letters', { ...further, id: 'acme' }],
    ['an id that ISO may assign to a country', { ...further, id: 'XA' }],
    ['an id that ISO may assign to a subdivision', { ...further, id: 'DE-XYZ' }],
    ['a version that is no date', { ...further, version: '2026-02-30' }],
    ['a member that is no code', { ...further, members: ['DE', 'ZZ'] }],
    ['a member that is a domain', { ...further, members: ['EU'] }],
    ['an unclear place that is no code', { ...further, unclear: ['de'] }],
  ])('refuses %s', (_, domain) => {
    expect(() => createPlaceRegistry([domain])).toThrow(PlaceDomainError);
  });

  it('reports every fault at once', () => {
    const faults = ((): readonly string[] => {
      try {
        createPlaceRegistry([{ ...further, members: ['ZZ'] }, further]);
        return [];
      } catch (error) {
        return error instanceof PlaceDomainError ? error.faults : [];
      }
    })();
    expect(faults).toEqual(['domain "ACME-SITES": no ISO 3166 code: ZZ', 'domain "ACME-SITES": the id is taken']);
  });
});

function asPlace(code: string): Place {
  return code.includes('-') ? { country: code.slice(0, 2), subdivision: code } : { country: code };
}

/**
 * The meaning of the algebra, written as plainly as it can be and on the raw data: every code stands for one point, the
 * part of it that lies in none of its subdivisions; a region is a set of points.
 */
function naive(inList: readonly string[] | undefined, notInList: readonly string[], candidate: Place): PlaceVerdict {
  const code = candidate.subdivision ?? candidate.country;
  const same = SAME_PLACE.get(code) ?? code;
  const region = regionOf(same);
  const isIn = (country: string): boolean => regionOf(country).has(same);
  const exists = COUNTRIES.has(candidate.country) && region.size > 0;
  const agrees =
    candidate.subdivision === undefined ||
    (code.includes('-') && (isIn(candidate.country) || code.startsWith(`${candidate.country}-`)));
  if (!exists || !agrees) return 'unknown';
  const answers = new Set([...region].map((point) => pointVerdict(inList, notInList, point)));
  return answers.size === 1 ? ([...answers][0] ?? 'unknown') : 'unknown';
}

function pointVerdict(
  inList: readonly string[] | undefined,
  notInList: readonly string[],
  point: string,
): PlaceVerdict {
  const included = inList === undefined ? 'yes' : listVerdict(inList, point);
  const excluded = listVerdict(notInList, point);
  if (included === 'yes' && excluded === 'no') return 'yes';
  return included === 'no' || excluded === 'yes' ? 'no' : 'unknown';
}

function listVerdict(list: readonly string[], point: string): PlaceVerdict {
  const domains = list.map((name) => BUILT_IN_PLACES.domains.get(name) ?? { members: [name] });
  const holds = (codes: readonly string[]): boolean =>
    codes.some((code) => regionOf(SAME_PLACE.get(code) ?? code).has(point));
  if (domains.some(({ members }) => holds(members))) return 'yes';
  return domains.some((domain) => 'unclear' in domain && holds(domain.unclear ?? [])) ? 'unknown' : 'no';
}

const raw: Readonly<Record<string, { readonly _contains: readonly string[] }>> =
  containment.supplemental.subdivisionContainment;
const regions = new Map<string, ReadonlySet<string>>();
function regionOf(code: string): ReadonlySet<string> {
  const known = regions.get(code);
  if (known !== undefined) return known;
  const region = new Set<string>();
  if (COUNTRIES.has(code) || PARENT_OF.has(code)) {
    region.add(code);
    const parts =
      code === 'SJ'
        ? ['no21', 'no22']
        : (raw[code.length === 2 ? code : code.replace('-', '').toLowerCase()]?._contains ?? []);
    for (const part of parts) {
      const partCode = `${part.slice(0, 2)}-${part.slice(2)}`.toUpperCase();
      const elsewhere = SAME_PLACE.has(partCode) || (code === 'NO' && /^NO-2[12]$/.test(partCode));
      if (!elsewhere) for (const point of regionOf(partCode)) region.add(point);
    }
  }
  regions.set(code, region);
  return region;
}
