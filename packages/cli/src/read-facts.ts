import type { Readable } from 'node:stream';
import { testNode } from '@subcloud/sdk/manifest';
import { parse } from 'yaml';
import type * as z from 'zod';
import { CliError } from './cli-error.ts';
import { readInput } from './read-input.ts';

const MAX_FACTS_BYTES = 262_144;

/** Facts of a node in the short form of manifest tests. Throws CliError. */
export async function readFacts(name: string, stdin: Readable): Promise<z.input<typeof testNode>> {
  const text = await readInput(name, stdin, MAX_FACTS_BYTES);
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0 });
  } catch (error) {
    throw invalid(name, error instanceof Error ? (error.message.split('\n')[0] ?? '') : 'it is no YAML');
  }
  const parsed = testNode.safeParse(value);
  if (parsed.success) return value as z.input<typeof testNode>;
  const [issue] = parsed.error.issues;
  throw invalid(name, `${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? 'invalid'}`);
}

function invalid(name: string, why: string): CliError {
  return new CliError({
    code: 'client.invalid_facts',
    message: `${name}: ${why}`,
    next: 'Write facts as in tests of a manifest, for example `location: { country: DE }`.',
  });
}
