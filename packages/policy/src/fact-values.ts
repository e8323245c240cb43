/**
 * The vocabulary of facts: what can be known of a node, and the shape of each value. Claims come out of stores and from
 * signers outside, so no clause reads a value whose shape this file has not checked.
 */
import { canonicalJson } from './canonical-json.ts';
import { type GpuName, gpuNameOf } from './gpu-names.ts';
import {
  MODALITIES,
  type Modality,
  QUANTIZATIONS,
  type Quantization,
  TRUST_LEVELS,
  type TrustLevel,
} from './scales.ts';
import { parseAmount } from './units.ts';

export interface Place {
  /** ISO 3166-1 alpha-2, upper case. */
  readonly country: string;
  /** ISO 3166-2, for example `DE-BY`. */
  readonly subdivision?: string;
}

/** What an engine says of a model that it serves. Null: it does not say. */
export interface ModelFact {
  /** Network id. */
  readonly id: string;
  /** `sha256:…` of the weights. */
  readonly digest: string | null;
  readonly quantization: Quantization | null;
  readonly modalities: readonly Modality[] | null;
  /** Tokens. */
  readonly contextLength: number | null;
}

/** One device. */
export interface GpuFact {
  /** Null: the driver's string is none that the closed list knows. */
  readonly model: GpuName | null;
  readonly driverName: string;
  /** The driver's MiB / 1024; null: it does not say. */
  readonly vramGiB: number | null;
  /** Confidential computing is on; null: it does not say. */
  readonly confidential: boolean | null;
}

export interface FactValues {
  /** Where the machine may be. Several candidates when the evidence does not agree; empty when there is none. */
  readonly location: { readonly candidates: readonly Place[]; readonly evidence: string };
  /** Legal seat of who runs it. */
  readonly operatorSeat: Place;
  readonly models: readonly ModelFact[];
  readonly hardware: { readonly gpus: readonly GpuFact[] };
  readonly trustLevel: TrustLevel;
  /** 0..1, a lower confidence bound. */
  readonly reputation: number;
  /** For example `1000 CREDIT`. */
  readonly stake: string;
  /** Share of the last 30 days, 0..1. */
  readonly uptime30d: number;
  /** The weights with this digest were audited; the claim's issuer says by whom. One claim a (node, digest). */
  readonly audit: { readonly digest: string };
  readonly labels: Readonly<Record<string, string>>;
}
export type FactName = keyof FactValues;
export const FACT_NAMES = [
  'location',
  'operatorSeat',
  'models',
  'hardware',
  'trustLevel',
  'reputation',
  'stake',
  'uptime30d',
  'audit',
  'labels',
] as const satisfies readonly FactName[];

type Check = (value: unknown) => boolean;
const isText: Check = (value) => typeof value === 'string' && value.length <= 4_096;
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const oneOf =
  (words: readonly string[]): Check =>
  (value) =>
    typeof value === 'string' && words.includes(value);
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.length <= 10_000 && value.every(check);
const isShare: Check = (value) => typeof value === 'number' && value >= 0 && value <= 1;
const isCount: Check = (value) => typeof value === 'number' && Number.isFinite(value) && value >= 0;
const shaped =
  (members: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isRecord(value) && Object.entries(members).every(([key, check]) => check(value[key]));

const isPlace = (value: unknown): boolean =>
  isRecord(value) && isText(value['country']) && (value['subdivision'] === undefined || isText(value['subdivision']));

const CHECKS: Readonly<Record<FactName, Check>> = {
  location: shaped({ candidates: listOf(isPlace) }),
  operatorSeat: isPlace,
  models: listOf(
    shaped({
      id: isText,
      digest: orNull(isText),
      quantization: orNull(oneOf(QUANTIZATIONS)),
      modalities: orNull(listOf(oneOf(MODALITIES))),
      contextLength: orNull(isCount),
    }),
  ),
  hardware: shaped({
    gpus: listOf(
      shaped({
        model: orNull(isText),
        driverName: isText,
        vramGiB: orNull(isCount),
        confidential: orNull((value) => typeof value === 'boolean'),
      }),
    ),
  }),
  trustLevel: oneOf(TRUST_LEVELS),
  reputation: isShare,
  stake: isText,
  uptime30d: isShare,
  audit: shaped({ digest: isText }),
  labels: (value) => isRecord(value) && Object.values(value).every(isText),
};

/** Whether a value has the shape of its fact; total. */
export function isWellFormed(fact: FactName, value: unknown): boolean {
  return Object.hasOwn(CHECKS, fact) && CHECKS[fact](value);
}

/**
 * What of a well-formed value is the fact itself: two claims agree when these are equal. How somebody came to know a
 * place, the order of a list, a driver's spelling of a known GPU and the digits of an amount are not the fact.
 */
export function comparable(fact: FactName, value: unknown): unknown {
  return COMPARABLE[fact]?.(value as never) ?? value;
}

const COMPARABLE: { readonly [Fact in FactName]?: (value: FactValues[Fact]) => unknown } = {
  location: ({ candidates }) => distinct(candidates.map(placeText)),
  operatorSeat: placeText,
  models: (models) =>
    distinct(
      models.map(({ id, digest, quantization, modalities, contextLength }) =>
        canonicalJson([id, digest, quantization, modalities === null ? null : distinct(modalities), contextLength]),
      ),
    ),
  hardware: ({ gpus }) =>
    gpus
      .map(({ model, driverName, vramGiB, confidential }) =>
        canonicalJson([model ?? gpuNameOf(driverName) ?? { driverName }, vramGiB, confidential]),
      )
      .sort(),
  stake: (text) => {
    const amount = parseAmount(text);
    return amount === undefined ? text : `${amount.atoms} ${amount.unit}`;
  },
  audit: ({ digest }) => digest,
};

function placeText({ country, subdivision }: Place): string {
  return canonicalJson([country, subdivision ?? null]);
}

function distinct(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)].sort();
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
