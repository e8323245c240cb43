/** What the schema finds, in words: where, what was wanted, what stands there, and what was probably meant. */
import type * as z from 'zod';
import { gpuNameOf } from './gpu-names.ts';
import { networkManifest, subcloudManifest } from './manifest.ts';
import {
  type LineOf,
  type ManifestError,
  type ManifestKind,
  type Path,
  didYouMean,
  dotted,
  isRecord,
  quoted,
  seen,
  valueAt,
} from './parse-manifest-error.ts';
import { closest } from './suggest.ts';

type Issue = z.core.$ZodIssue;

export function errorsOfIssue(
  issue: Issue,
  value: unknown,
  kind: ManifestKind,
  lineOf: LineOf,
  above: Path = [],
): ManifestError[] {
  const path = [...above, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      code: 'unknown_key' as const,
      path: dotted([...path, key]),
      line: lineOf([...path, key]),
      message: `unknown key ${JSON.stringify(key.slice(0, 80))}${didYouMean(closest(key, knownKeys(path, kind)))}`,
    }));
  }
  const at = valueAt(value, path);
  if (issue.code === 'invalid_union') {
    // Of several forms that a value may have, the one that it has: a list is judged as the list, a map as the map.
    const isWhole = (first: Issue): boolean =>
      first.path.length === 0 && (first.code === 'invalid_type' || first.code === 'invalid_value');
    const branch = issue.errors.find(([first]) => first !== undefined && !isWhole(first));
    const issues = (Array.isArray(at) || isRecord(at) ? branch : issue.errors[0]) ?? issue.errors[0] ?? [];
    return issues.flatMap((inner) => errorsOfIssue(inner, value, kind, lineOf, path));
  }
  const message = messageOf(issue, at);
  return [{ code: 'invalid', path: dotted(path), line: lineOf(path), message }];
}

const MAX_NAMED_OPTIONS = 8;

function messageOf(issue: Issue, at: unknown): string {
  if (at === undefined && (issue.code === 'invalid_type' || issue.code === 'invalid_value')) return 'is required';
  if (issue.code === 'invalid_value') return optionMessage(issue.values, at);
  if (issue.code === 'too_small')
    return `must ${boundMessage(issue.origin, 'at least', Number(issue.minimum), issue.inclusive, at)}`;
  if (issue.code === 'too_big')
    return `must ${boundMessage(issue.origin, 'at most', Number(issue.maximum), issue.inclusive, at)}`;
  if (issue.code === 'invalid_type')
    return `expected ${issue.expected === 'int' ? 'a whole number' : issue.expected}${seen(at)}`;
  if (issue.code === 'invalid_key') return issue.issues[0]?.message ?? issue.message;
  return `${issue.message}${isRecord(at) || at === undefined ? '' : `, not ${quoted(at)}`}`;
}

function optionMessage(options: readonly unknown[], at: unknown): string {
  const hint = options.length > 1 && typeof at === 'string' ? optionMeant(at, options.map(String)) : undefined;
  const named = options.map((option) => JSON.stringify(option)).join(', ');
  const wanted =
    options.length > MAX_NAMED_OPTIONS ? 'a name of the closed list' : `${options.length > 1 ? 'one of ' : ''}${named}`;
  return `expected ${wanted}${seen(at)}${didYouMean(hint)}`;
}

/** A misspelt name, or the name that a driver reports of a GPU. */
function optionMeant(word: string, options: readonly string[]): string | undefined {
  return closest(word, options) ?? options.find((option) => option === gpuNameOf(word));
}

function boundMessage(
  origin: string,
  least: string,
  bound: number,
  inclusive: boolean | undefined,
  at: unknown,
): string {
  if (origin === 'array')
    return `have ${least} ${bound} ${bound === 1 ? 'entry' : 'entries'}${Array.isArray(at) && at.length > 0 ? `, not ${at.length}` : ''}`;
  if (origin === 'string')
    return `have ${least} ${bound} ${bound === 1 ? 'character' : 'characters'}${typeof at === 'string' ? `, not ${at.length}` : ''}`;
  const strict = least === 'at least' ? 'more than' : 'less than';
  return `be ${inclusive === false ? strict : least} ${bound}${seen(at)}`;
}

/** The keys that the schema has at a path, for "did you mean". */
function knownKeys(path: Path, kind: ManifestKind): string[] {
  let schema: unknown = kind === 'Subcloud' ? subcloudManifest : networkManifest;
  for (const part of path)
    schema = typeof part === 'number' ? inner(schema, 'element') : inner(inner(schema, 'shape'), part);
  const shape = inner(schema, 'shape');
  return shape !== null && typeof shape === 'object' ? Object.keys(shape) : [];
}

function inner(schema: unknown, key: string): unknown {
  let at = schema;
  for (let depth = 0; depth < 6 && isRecord(at) && !(key in at); depth++) {
    const definition: unknown = at['def'];
    at = isRecord(definition) ? definition['innerType'] : undefined;
  }
  return isRecord(at) ? at[key] : undefined;
}
