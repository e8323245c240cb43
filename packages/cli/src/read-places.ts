import type { Readable } from 'node:stream';
import { parse } from 'yaml';
import * as z from 'zod';
import { CliError } from './cli-error.ts';
import { readInput } from './read-input.ts';

const MAX_PLACES_BYTES = 1_048_576;
const entry = z.strictObject({
  cidr: z.string().max(64),
  country: z.string().length(2),
  subdivision: z.string().max(6).optional(),
});
const placesFile = z.union([
  z.array(entry),
  z.strictObject({ places: z.array(entry) }).transform((file) => file.places),
]);

export interface PlaceRange {
  readonly cidr: string;
  readonly country: string;
  readonly subdivision?: string | undefined;
}

/** Reads the map from address ranges to places, as `places get --json` prints it or as a plain list. Throws CliError. */
export async function readPlaces(name: string, stdin: Readable): Promise<PlaceRange[]> {
  const text = await readInput(name, stdin, MAX_PLACES_BYTES);
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0 });
  } catch (error) {
    throw invalid(name, error instanceof Error ? (error.message.split('\n')[0] ?? '') : 'it is no YAML');
  }
  const parsed = placesFile.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalid(name, 'it is no list of { cidr, country, subdivision }');
}

function invalid(name: string, why: string): CliError {
  return new CliError({
    code: 'client.invalid_places',
    message: `${name}: ${why}`,
    next: 'Write one entry a range, for example `- { cidr: 10.1.0.0/16, country: DE }`.',
  });
}
