import type { ApiError } from '@subcloud/sdk/api-error';
import * as z from 'zod';
import { CliError } from './cli-error.ts';
import { table } from './output.ts';

const outcome = z.object({
  eligible: z.boolean(),
  failing: z.array(z.string()),
  models: z.array(z.string()).nullable(),
});
const details = z.object({
  tests: z.array(
    z.object({
      name: z.string(),
      expected: outcome,
      got: outcome,
      clauses: z.array(z.object({ clause: z.string(), wanted: z.string(), seen: z.string() })),
    }),
  ),
});

/** Tests that do not hold, as a table: what each expected, what came out, and what the failing clauses saw. */
export function failingTestsError(error: ApiError): Error {
  const parsed = details.safeParse(error.details);
  if (!parsed.success) return error;
  const rows = parsed.data.tests.map(({ name, expected, got, clauses }) => [
    name,
    inWords(expected),
    inWords({ ...got, failing: [], models: expected.models === null ? null : got.models }),
    clauses.map(({ clause, wanted, seen }) => `${clause} wanted ${wanted}, saw ${seen}`).join('; '),
  ]);
  return new CliError({
    code: 'config.failing_tests',
    message: `${error.message}\n\n${table(['test', 'expected', 'got', 'clauses that fail'], rows)}\n`,
    next: error.advice,
    details: error.details,
    cause: error,
  });
}

function inWords({ eligible, failing, models }: z.infer<typeof outcome>): string {
  return [
    eligible ? 'eligible' : 'not eligible',
    failing.length === 0 ? '' : `failing ${failing.join(', ')}`,
    models === null ? '' : `models ${models.length === 0 ? 'none' : models.join(', ')}`,
  ]
    .filter((part) => part !== '')
    .join(', ');
}
