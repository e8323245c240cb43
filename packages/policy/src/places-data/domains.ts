/**
 * Named groups of places. `version` is the date since which the list stands as it does, in law or here; whoever changes
 * a list changes its version, since a manifest's effective hash covers the versions of the domains that it names.
 *
 * A member is what a database can report, a code. Where the group's own law makes membership depend on something that
 * the code does not tell, the code is `unclear` instead: neither `in` nor `notIn` passes on it.
 */
export interface PlaceDomain {
  readonly id: string;
  readonly title: string;
  /** ISO 8601 date. */
  readonly version: string;
  /** Codes of ISO 3166-1 or 3166-2 that belong to it as a whole. */
  readonly members: readonly string[];
  readonly unclear?: readonly string[];
}

/**
 * Treaty on European Union, article 52, as it stands since the United Kingdom left on 2020-01-31. Of the overseas parts
 * with codes of their own it holds those in which the Treaties apply (TFEU, articles 349 and 355): the outermost regions
 * Guadeloupe, French Guiana, Martinique, Réunion, Mayotte (European Council decision 2012/419/EU) and Saint Martin, and
 * the Åland Islands. Azores, Madeira and the Canaries are reported as PT and ES. Not in it: the overseas countries and
 * territories of annex II (NC, PF, PM, WF, TF, AW, CW, SX, BQ, GL, and BL since 2012 by decision 2010/718/EU) and FO.
 */
const EU_MEMBERS = [
  'AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK',
  'AX GF GP MF MQ RE YT',
].flatMap(split);

const EU: PlaceDomain = { id: 'EU', title: 'European Union', version: '2020-02-01', members: EU_MEMBERS };

/**
 * Agreement on the European Economic Area, article 126: where the Union's treaties apply, and Iceland, Liechtenstein
 * and Norway. Protocol 40 leaves out Svalbard, so SJ is not in it.
 */
const EEA: PlaceDomain = {
  id: 'EEA',
  title: 'European Economic Area',
  version: '2020-02-01',
  members: [...EU_MEMBERS, ...split('IS LI NO')],
};

/** EFTA Convention, since Austria, Finland and Sweden left. Its annex lets Norway exempt Svalbard from parts of it. */
const EFTA: PlaceDomain = {
  id: 'EFTA',
  title: 'European Free Trade Association',
  version: '1995-01-01',
  members: split('CH IS LI NO'),
  unclear: ['SJ'],
};

/**
 * Third countries with an adequacy decision under article 45 of the GDPR, as the European Commission lists them; the
 * last change is Brazil, implementing decision (EU) 2026/179 of 2026-01-26. The EEA itself is not in it: write
 * `in: [EEA, GDPR-ADEQUATE]`. For Canada (2002/2/EC) and the United States ((EU) 2023/1795) the decision depends on who
 * receives the data, a commercial or a certified organisation, which no place tells.
 */
const GDPR_ADEQUATE: PlaceDomain = {
  id: 'GDPR-ADEQUATE',
  title: 'Adequate under article 45 of the GDPR',
  version: '2026-01-26',
  members: split('AD AR BR CH FO GB GG IL IM JE JP KR NZ UY'),
  unclear: ['CA', 'US'],
};

/**
 * The parties of the UKUSA agreement, in its revision of 1956-10-10 (released by the NSA and the National Archives in
 * 2010). It names states; how far it reaches into territories under their sovereignty with codes of their own is not
 * public, and who excludes the five hardly means to admit Guam or Gibraltar.
 */
const FIVE_EYES: PlaceDomain = {
  id: 'FIVE-EYES',
  title: 'Five Eyes',
  version: '1956-10-10',
  members: split('AU CA GB NZ US'),
  unclear: ['AS GU MP PR UM VI', 'AI BM FK GG GI GS IM IO JE KY MS PN SH TC VG', 'CC CX HM NF', 'CK NU TK'].flatMap(
    split,
  ),
};

/** Association of Southeast Asian Nations, since Timor-Leste was admitted (declaration of 2025-10-26). */
const ASEAN: PlaceDomain = {
  id: 'ASEAN',
  title: 'Association of Southeast Asian Nations',
  version: '2025-10-26',
  members: split('BN ID KH LA MM MY PH SG TH TL VN'),
};

/**
 * Treaty of Asunción, since Bolivia's accession took effect (2024-08-07). Venezuela is a party whose rights have been
 * suspended since 2017 under the Protocol of Ushuaia.
 */
const MERCOSUR: PlaceDomain = {
  id: 'MERCOSUR',
  title: 'Southern Common Market',
  version: '2024-08-07',
  members: split('AR BO BR PY UY'),
  unclear: ['VE'],
};

/** Charter of the Cooperation Council for the Arab States of the Gulf, unchanged since it was founded. */
const GCC: PlaceDomain = {
  id: 'GCC',
  title: 'Gulf Cooperation Council',
  version: '1981-05-25',
  members: split('AE BH KW OM QA SA'),
};

/** Treaty establishing the Benelux Union, in force since 2012-01-01; it covers the European part of the Netherlands. */
const BENELUX: PlaceDomain = {
  id: 'BENELUX',
  title: 'Benelux Union',
  version: '2012-01-01',
  members: split('BE LU NL'),
};

/**
 * Helsinki Treaty on Nordic cooperation, with the three self-governing areas that take part since the Åland document of
 * 2007-09-05. Svalbard is under Norway's sovereignty and in none of the lists.
 */
const NORDICS: PlaceDomain = {
  id: 'NORDICS',
  title: 'Nordic countries',
  version: '2007-09-05',
  members: split('AX DK FI FO GL IS NO SE'),
  unclear: ['SJ'],
};

export const BUILT_IN_DOMAINS: readonly PlaceDomain[] = [
  EU,
  EEA,
  EFTA,
  GDPR_ADEQUATE,
  FIVE_EYES,
  ASEAN,
  MERCOSUR,
  GCC,
  BENELUX,
  NORDICS,
];

function split(codes: string): readonly string[] {
  return codes.split(' ');
}
