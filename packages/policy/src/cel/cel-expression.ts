/**
 * A small, typed part of CEL for policies: one expression, checked when it is saved, evaluated in bounded time. It never
 * throws: what has no value (a variable that is not known, a missing key, a division by zero, an overflow) is unknown,
 * and `&&` and `||` decide without it where CEL lets them.
 *
 * In it: comparison, arithmetic, `&&`, `||`, `!`, `?:`, `in`, indexes, lists of literals, `size`, `double`, `contains`,
 * `startsWith`, `endsWith`, `has` of a map's key, and `all`, `exists`, `exists_one`, `filter` one at a time. Out of it:
 * `matches`, since a pattern can take for ever, and one comprehension inside or of another.
 */
import type { ParseResult } from '@marcbachmann/cel-js';
import { celSteps } from './cel-cost.ts';
import { environmentOf } from './cel-environment.ts';
import type { CelReader, CelTable } from './cel-table.ts';
import { CelFault, inspect } from './inspect-cel.ts';

/** Characters. */
export const MAX_CEL_LENGTH = 4_096;

export interface CelExpression {
  readonly text: string;
  /** Paths of the table that it names. */
  readonly variables: readonly string[];
  /** Keys that it names of maps, for example `node.labels.rack`. */
  readonly keys: readonly string[];
  /** What one evaluation costs at most, see cel-cost.ts. */
  readonly steps: number;
  /** Undefined: unknown. Total. */
  readonly evaluate: (read: CelReader) => boolean | undefined;
}
export type CompiledCel =
  | { readonly ok: true; readonly expression: CelExpression }
  /** `message` begins with the column (and line, of several) inside the expression. */
  | { readonly ok: false; readonly message: string };

/** Checks and compiles one expression over the table's variables; its value is a bool. Total. */
export function compileCel(text: string, table: CelTable): CompiledCel {
  if (text.length > MAX_CEL_LENGTH)
    return { ok: false, message: `an expression has at most ${MAX_CEL_LENGTH} characters, not ${text.length}` };
  const { environment, run } = environmentOf(table);
  let parsed: ParseResult;
  try {
    parsed = environment.parse(text);
    const { variables, keys } = inspect(parsed.ast, table);
    const checked = parsed.check();
    if (!checked.valid) throw checked.error ?? new CelFault('has no type', 0);
    if (checked.type !== 'bool')
      return { ok: false, message: `an expression says yes or no: its type must be bool, not ${checked.type}` };
    const evaluate = parsed;
    return {
      ok: true,
      expression: {
        text,
        variables,
        keys,
        steps: celSteps(parsed.ast),
        evaluate: (read) => run((context) => evaluate(context), read),
      },
    };
  } catch (error) {
    return { ok: false, message: faultText(error, text) };
  }
}

interface LocatedError {
  readonly summary?: unknown;
  readonly range?: { readonly start: number };
}

function faultText(error: unknown, text: string): string {
  if (error instanceof CelFault) return `${placeOf(text, error.at)}: ${error.message}`;
  if (!(error instanceof Error)) return 'not an expression';
  const { summary, range } = error as Error & LocatedError;
  const said = typeof summary === 'string' ? summary : (error.message.split('\n')[0] ?? '');
  const message = `${said.slice(0, 1).toLowerCase()}${said.slice(1, 300)}`;
  return range === undefined ? message : `${placeOf(text, range.start)}: ${message}`;
}

/** 1-based, as editors count. */
function placeOf(text: string, at: number): string {
  const before = text.slice(0, at).split('\n');
  const column = `column ${(before.at(-1)?.length ?? 0) + 1}`;
  return text.trimEnd().includes('\n') ? `line ${before.length}, ${column}` : column;
}
