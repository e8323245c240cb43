/**
 * What one make of engine tells of its models, and how it is known. One file a make; each asks the make's own API and
 * reads what it answers without trust in its shape: a wrong answer is "not this make", or a fact that stays unknown.
 */
import type { ModelFact } from '@subcloud/policy/facts';

export type ModelTraits = Omit<ModelFact, 'id'>;

export const UNKNOWN_TRAITS: ModelTraits = { digest: null, quantization: null, modalities: null, contextLength: null };

/** One entry of `GET /v1/models`: the id, and whatever else stands there. */
export interface ListedModel {
  readonly id: string;
  readonly entry: Readonly<Record<string, unknown>>;
}

export interface EngineReading {
  /** By the engine's own name. Models that are not in it are there, with nothing known of them. */
  readonly traits: ReadonlyMap<string, ModelTraits>;
  /** Names that the engine passes on to another machine: they are not this machine's to offer. */
  readonly elsewhere?: ReadonlySet<string>;
  /** Of a make whose servers differ in it: see EngineMake. */
  readonly continues?: boolean;
}

/** The parsed body of a 200, or undefined: another status, no JSON, too large, too slow, no connection. */
export type Ask = (path: string, question?: { readonly body: unknown }) => Promise<unknown>;

export interface EngineMake {
  readonly name: string;
  /**
   * It goes on with an assistant's message at the end of a conversation, exactly where that ends, when it is asked with
   * `continue_final_message: true` and `add_generation_prompt: false`.
   */
  readonly continues?: true;
  /** Whether the list alone looks like this make, so that the right one is asked first. */
  looksLike(listed: readonly ListedModel[]): boolean;
  /** Undefined: what answers is not this make. */
  read(listed: readonly ListedModel[], ask: Ask): Promise<EngineReading | undefined>;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return isRecord(value) ? value : {};
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

/** A number of tokens that can be believed, else null. */
export function tokensOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 && value <= 1_000_000_000 ? value : null;
}

/** The least of those that are known: what every one of them allows. */
export function leastOf(...counts: readonly (number | null)[]): number | null {
  const known = counts.filter((count) => count !== null);
  return known.length === 0 ? null : Math.min(...known);
}

export function ownedBy(listed: readonly ListedModel[], owner: string): boolean {
  return listed.length > 0 && listed.every(({ entry }) => entry['owned_by'] === owner);
}
