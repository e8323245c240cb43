/** Quantities as manifests write them: `10m`, `365d`, `1000 CREDIT`. A quantity without its unit is an error, never a guess. */
import * as z from 'zod';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION = /^(0|[1-9]\d{0,8})(ms|s|m|h|d)$/;
const AMOUNT = /^(0|[1-9]\d{0,17})(?:\.(\d{1,18}))? ([A-Z][A-Z0-9]{0,15})$/;

const DURATION_WANTED = 'must be a whole number with its unit: ms, s, m, h or d';
const AMOUNT_WANTED = 'must be a number and its unit, for example "1000 CREDIT"';

/** `90s`, `10m`, `365d`: a whole number and its unit. */
export const durationText = z.string(DURATION_WANTED).regex(DURATION, DURATION_WANTED);
/** `1000 CREDIT`, `0.5 ETH`: a decimal number, a space, the unit in capitals. */
export const amountText = z.string(AMOUNT_WANTED).regex(AMOUNT, AMOUNT_WANTED);

const PERCENT = /^(100(?:\.0{1,4})?|\d{1,2}(?:\.\d{1,4})?)%$/;
const PERCENT_WANTED = 'must be a percentage from 0% to 100%, with its sign';
/** `50%`, `99.95%`: from 0 to 100, with its sign. */
export const percentText = z.string(PERCENT_WANTED).regex(PERCENT, PERCENT_WANTED);

/** How many of `whole` are at most this share of it, exactly: 0 for text that `percentText` refuses. */
export function percentOf(text: string, whole: number): number {
  const match = PERCENT.exec(text);
  const [units = '0', fraction = ''] = (match?.[1] ?? '0').split('.');
  return Math.floor(((Number(units) * 10_000 + Number(fraction.padEnd(4, '0'))) * whole) / 1_000_000);
}

/** Milliseconds; NaN for text that `durationText` refuses. */
export function durationMs(text: string): number {
  const match = DURATION.exec(text);
  return match === null ? Number.NaN : Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? Number.NaN);
}

export interface Amount {
  /** In units of 10^-18, so that amounts compare exactly. */
  readonly atoms: bigint;
  readonly unit: string;
}

export function parseAmount(text: string): Amount | undefined {
  const match = AMOUNT.exec(text);
  if (match === null) return undefined;
  const [, whole = '0', fraction = '', unit = ''] = match;
  return { atoms: BigInt(whole) * 10n ** 18n + BigInt(fraction.padEnd(18, '0')), unit };
}
