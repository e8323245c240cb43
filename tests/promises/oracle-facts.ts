/** What is known of a node, by the rules about sources, issuers, age, expiry and contradiction. */
import type { ClaimSource, FactName, FactValues, NodeFacts } from '@subcloud/policy/facts';

export interface OracleContext {
  readonly node: NodeFacts;
  readonly now: number;
  /** Owner of the Subcloud that asks; null: the network. */
  readonly owner: string | null;
  readonly maxAgeMs: number;
}

/** What a clause writes about sources. */
export interface Asked {
  readonly source: ClaimSource | readonly ClaimSource[] | undefined;
  readonly by: readonly string[] | undefined;
  /** The clause's own default. */
  readonly usual: ClaimSource;
}

const STRENGTH: Readonly<Record<ClaimSource, number>> = { declared: 1, measured: 2, attested: 3 };

/** One reading for each source that is asked for; undefined: not known. */
export function readings<Fact extends FactName>(
  context: OracleContext,
  fact: Fact,
  { source, by, usual }: Asked,
): readonly (FactValues[Fact] | undefined)[] {
  // A list asks for each of its sources; a single one is the least that suffices.
  if (source === undefined || typeof source === 'string') {
    const least = STRENGTH[source ?? usual];
    return [reading(context, fact, by, (strength) => strength >= least)];
  }
  return source.map((each) => reading(context, fact, by, (strength) => strength === STRENGTH[each]));
}

function reading<Fact extends FactName>(
  context: OracleContext,
  fact: Fact,
  by: readonly string[] | undefined,
  suffices: (strength: number) => boolean,
): FactValues[Fact] | undefined {
  const standing = standingClaims(context, fact, by).filter((claim) => suffices(STRENGTH[claim.source]));
  const strongest = Math.max(0, ...standing.map((claim) => STRENGTH[claim.source]));
  const counting = standing.filter((claim) => STRENGTH[claim.source] === strongest);
  const said = new Set(counting.map((claim) => whatIsSaid(fact, claim.value)));
  // Claims of equal strength that disagree make the fact unknown.
  return said.size === 1 ? (counting[0]?.value as FactValues[Fact]) : undefined;
}

/** Claims that have not expired, are not too old, and, if attested, come from an issuer who counts here. */
export function standingClaims(
  { node, now, owner, maxAgeMs }: OracleContext,
  fact: FactName,
  by: readonly string[] | undefined,
): readonly NodeFacts['claims'][number][] {
  // A node without a link is judged by what was known when it was last seen.
  const seenAt = node.lastSeenAt === null ? now : Math.min(node.lastSeenAt, now);
  // A heartbeat confirms all that is measured at once.
  const lastSeenToHold = ({ confirmedAt }: NodeFacts['claims'][number]): number =>
    node.confirmedAt === undefined || node.confirmedAt < confirmedAt ? confirmedAt : node.confirmedAt;
  return node.claims
    .filter((claim) => claim.fact === fact)
    .filter((claim) => claim.expiresAt === null || now < claim.expiresAt)
    .filter((claim) => claim.source !== 'measured' || seenAt - lastSeenToHold(claim) <= maxAgeMs)
    .filter((claim) => {
      if (claim.source !== 'attested') return true;
      const ofNetwork = claim.issuerOwner === null || claim.issuerOwner === undefined;
      // Without a list: the network's attesters. With one: those named, if they are the network's or the owner's own.
      if (by === undefined) return ofNetwork;
      return by.some((name) => name === claim.issuer) && (ofNetwork || claim.issuerOwner === owner);
    });
}

/** Two claims agree when these texts are equal: the evidence for a place and the order of a list are no part of it. */
function whatIsSaid(fact: FactName, value: unknown): string {
  switch (fact) {
    case 'location': {
      const { candidates } = value as FactValues['location'];
      return [...new Set(candidates.map(({ country, subdivision = '' }) => `${country}/${subdivision}`))].sort().join();
    }
    case 'models': {
      const models = value as FactValues['models'];
      const each = models.map((model) =>
        JSON.stringify([
          model.id,
          model.digest,
          model.quantization,
          model.contextLength,
          model.modalities === null ? null : [...new Set(model.modalities)].sort(),
        ]),
      );
      return [...new Set(each)].sort().join();
    }
    case 'hardware': {
      const { gpus } = value as FactValues['hardware'];
      return gpus
        .map(({ model, driverName, vramGiB, confidential }) =>
          [model ?? `driver says ${driverName}`, vramGiB, confidential].join(),
        )
        .sort()
        .join(';');
    }
    case 'stake':
      // 1000, 1000.0 and 1000.00 of a unit are one amount.
      return (value as string).replace(/\.(\d*?)0* /, '.$1 ').replace('. ', ' ');
    case 'labels':
      return JSON.stringify(Object.entries(value as FactValues['labels']).sort(([a], [b]) => (a < b ? -1 : 1)));
    case 'operatorSeat': {
      const { country, subdivision = '' } = value as FactValues['operatorSeat'];
      return `${country}/${subdivision}`;
    }
    case 'audit':
    case 'trustLevel':
    case 'reputation':
    case 'uptime30d':
      return JSON.stringify(value);
  }
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60 * 1000, h: 3600 * 1000, d: 24 * 3600 * 1000 };

/** `10m` in milliseconds. */
export function milliseconds(text: string): number {
  const number = Number.parseInt(text, 10);
  return number * (UNITS[text.slice(String(number).length)] ?? Number.NaN);
}
