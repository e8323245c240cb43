/** The cases of `conformance/policy`, in the words of this build; conformance/README.md says what the format means. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Claim, ClaimSource, NodeFacts } from '@subcloud/policy/facts';
import type { PlaceDomain } from '@subcloud/policy/place-registry';
import type { PrincipalId } from '@subcloud/policy/principal';
import { parse } from 'yaml';

export const NOW = Date.UTC(2026, 5, 1, 12);
const FOLDER = fileURLToPath(new URL('../../conformance/policy/', import.meta.url));

interface WrittenClaim {
  readonly fact: string;
  readonly value: unknown;
  readonly source: ClaimSource;
  readonly issuer?: string;
  readonly owner?: PrincipalId;
  readonly age?: string;
  readonly confirmed?: string;
  readonly expiresIn?: string;
  readonly expiredFor?: string;
  readonly raw?: boolean;
}

interface Expected {
  readonly eligible: boolean;
  readonly failing?: string;
  readonly models?: readonly string[];
  readonly clauses?: Readonly<Record<string, 'pass' | 'fail' | 'unknown'>>;
  readonly warnings?: readonly string[];
  readonly changesIn?: string;
}

interface WrittenCase {
  readonly name: string;
  readonly owner?: PrincipalId;
  readonly domains?: readonly PlaceDomain[];
  readonly spec: Readonly<Record<string, unknown>>;
  readonly node?: {
    readonly operator?: PrincipalId;
    readonly lastSeen?: string;
    readonly claims?: readonly WrittenClaim[];
  };
  readonly expect: Expected;
}

export interface PolicyCase {
  readonly name: string;
  readonly owner: PrincipalId | null;
  readonly domains: readonly PlaceDomain[];
  readonly spec: Readonly<Record<string, unknown>>;
  readonly facts: NodeFacts;
  readonly expected: Expected;
}

export interface PolicyFile {
  readonly file: string;
  readonly cases: readonly PolicyCase[];
}

/** Every file, in the order of their names. */
export function policyFiles(): readonly PolicyFile[] {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'));
  return files.sort().map((file) => ({ file, cases: readCases(readFileSync(`${FOLDER}${file}`, 'utf8')) }));
}

const KEYS = {
  file: ['claims', 'cases'],
  case: ['name', 'owner', 'domains', 'spec', 'node', 'expect'],
  node: ['operator', 'lastSeen', 'claims'],
  claim: ['fact', 'value', 'source', 'issuer', 'owner', 'age', 'confirmed', 'expiresIn', 'expiredFor', 'raw'],
  expect: ['eligible', 'failing', 'models', 'clauses', 'warnings', 'changesIn'],
};

/** A key that this build does not know would be a case that tests less than it says. */
function onlyKnown<Value extends object>(value: Value, what: keyof typeof KEYS): Value {
  const unknown = Object.keys(value).filter((key) => !KEYS[what].includes(key));
  if (unknown.length > 0) throw new Error(`a ${what} has no ${unknown.join(', ')}: ${JSON.stringify(value)}`);
  return value;
}

export function readCases(text: string): readonly PolicyCase[] {
  const file = onlyKnown(parse(text) as { claims?: readonly WrittenClaim[]; cases: readonly WrittenCase[] }, 'file');
  return file.cases.map((written) => {
    const { name, owner = null, domains = [], spec, node = {}, expect } = onlyKnown(written, 'case');
    const { operator = 'org:acme', lastSeen, claims = [] } = onlyKnown(node, 'node');
    const own = new Set(claims.map(({ fact }) => fact));
    const common = (file.claims ?? []).filter(({ fact }) => !own.has(fact));
    const facts: NodeFacts = {
      nodeId: 'n1',
      operator,
      claims: [...common, ...claims].map(claimOf),
      lastSeenAt: lastSeen === undefined ? null : NOW - spanMs(lastSeen),
    };
    return { name, owner, domains, spec, facts, expected: onlyKnown(expect, 'expect') };
  });
}

const ISSUERS: Readonly<Record<string, string>> = { declared: 'node:n1', measured: 'network', attested: 'network' };

function claimOf(written: WrittenClaim, at: number): Claim {
  const { fact, value, source, owner, age = '0ms', raw = false } = onlyKnown(written, 'claim');
  const { confirmed = age, expiresIn, expiredFor } = written;
  const after = expiresIn === undefined ? expiredFor : expiresIn;
  const sign = expiresIn === undefined ? -1 : 1;
  return {
    id: `c${at}`,
    fact,
    value: raw ? value : filled(fact, value),
    source,
    issuer: written.issuer ?? ISSUERS[source] ?? 'network',
    issuerOwner: owner ?? null,
    issuedAt: NOW - spanMs(age),
    confirmedAt: NOW - spanMs(confirmed),
    expiresAt: after === undefined ? null : NOW + sign * spanMs(after),
  } as unknown as Claim;
}

const NO_MODEL = { digest: null, quantization: null, modalities: null, contextLength: null };
const NO_GPU = { model: null, driverName: '', vramGiB: null, confidential: null };

/** What a case leaves out of a model, a device or a place is not known. */
function filled(fact: string, value: unknown): unknown {
  if (fact === 'models') return (value as object[]).map((model) => ({ ...NO_MODEL, ...model }));
  if (fact === 'hardware')
    return { gpus: (value as { gpus: object[] }).gpus.map((device) => ({ ...NO_GPU, ...device })) };
  return fact === 'location' ? { evidence: '', ...(value as object) } : value;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `10m`, `-5m`. */
export function spanMs(text: string): number {
  const match = /^(-?\d+)(ms|s|m|h|d)$/.exec(text);
  if (match === null) throw new Error(`${text} is no span of time`);
  return Number(match[1]) * (UNITS[match[2] ?? ''] ?? Number.NaN);
}
