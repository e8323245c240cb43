/**
 * YAML or JSON text to a manifest, or every fault in it with path, line and what to do. Total: never throws on input.
 */
import { type Document, LineCounter, type ParsedNode, isMap, isScalar, isSeq, parseDocument } from 'yaml';
import type * as z from 'zod';
import { type NetworkManifest, type SubcloudManifest, networkManifest, subcloudManifest } from './manifest.ts';
import { NOT_ENFORCED, VALUES_NOT_ENFORCED } from './not-enforced.ts';
import { isPlace, suggestPlace } from './places.ts';
import { closest } from './suggest.ts';

export const MAX_MANIFEST_BYTES = 262_144;
const MAX_ALIASES = 32;
const MAX_ERRORS = 50;
const MAX_DEPTH = 32;
/** Values in one manifest, several times what its longest lists can hold. */
const MAX_VALUES = 20_000;
/** The parser compares every key of a map with all before it; this many are some 1,400 keys in one map. */
const MAX_KEY_COMPARISONS = 1_000_000;

export type ManifestErrorCode = 'syntax' | 'too_large' | 'unknown_key' | 'not_enforced' | 'invalid';
export interface ManifestError {
  readonly code: ManifestErrorCode;
  /** Dotted, for example `spec.nodes.location.in[0]`; empty for the document itself. */
  readonly path: string;
  /** 1-based; null where the fault has no place in the text. */
  readonly line: number | null;
  readonly message: string;
}
export type ParsedManifest =
  | { readonly ok: true; readonly kind: 'Subcloud'; readonly manifest: SubcloudManifest }
  | { readonly ok: true; readonly kind: 'Network'; readonly manifest: NetworkManifest }
  | { readonly ok: false; readonly errors: readonly ManifestError[] };

type Path = readonly (string | number)[];

/** Parses one document of at most 256 KiB. */
export function parseManifest(text: string): ParsedManifest {
  if (new TextEncoder().encode(text).byteLength > MAX_MANIFEST_BYTES) {
    return failed([
      { code: 'too_large', path: '', line: null, message: `the manifest is larger than ${MAX_MANIFEST_BYTES} bytes` },
    ]);
  }
  const lines = new LineCounter();
  let document: Document;
  let value: unknown;
  try {
    document = parseDocument(text, {
      lineCounter: lines,
      uniqueKeys: boundedEquality(),
      stringKeys: true,
      merge: false,
    });
    // A warning is a tag or a directive that the parser does not know and goes on without: that would be ignoring it.
    const fault = document.errors[0] ?? document.warnings[0];
    if (fault !== undefined) {
      return failed([
        { code: 'syntax', path: '', line: lines.linePos(fault.pos[0]).line, message: syntaxMessage(fault) },
      ]);
    }
    value = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    return failed([{ code: 'syntax', path: '', line: null, message: syntaxMessage(error) }]);
  }
  const lineOf = (path: Path): number | null => findLine(document, lines, path);
  const knot = findKnot(value);
  if (knot !== undefined)
    return failed([
      { code: 'syntax', path: dotted(knot.path).slice(0, 200), line: lineOf(knot.path), message: knot.message },
    ]);
  if (!isRecord(value)) {
    return failed([
      { code: 'invalid', path: '', line: 1, message: 'a manifest is a map with apiVersion, kind, metadata and spec' },
    ]);
  }
  const kind = value['kind'];
  if (kind !== 'Subcloud' && kind !== 'Network') {
    return failed([
      {
        code: 'invalid',
        path: 'kind',
        line: lineOf(['kind']) ?? 1,
        message: `kind must be Subcloud or Network${seen(kind)}`,
      },
    ]);
  }
  const refused = notEnforced(value, kind, lineOf);
  const result = kind === 'Subcloud' ? subcloudManifest.safeParse(value) : networkManifest.safeParse(value);
  const errors: ManifestError[] = [...refused];
  if (!result.success) {
    for (const issue of result.error.issues) errors.push(...fromIssue(issue, value, kind, lineOf));
  }
  if (kind === 'Subcloud') errors.push(...unknownPlaces(value, lineOf));
  const distinct = withoutRepeats(errors, refused);
  if (distinct.length > 0 || !result.success) return failed(distinct);
  return kind === 'Subcloud'
    ? { ok: true, kind, manifest: result.data as SubcloudManifest }
    : { ok: true, kind, manifest: result.data as NetworkManifest };
}

const TOO_DEEP = `the manifest is nested deeper than ${MAX_DEPTH} levels`;

function syntaxMessage(error: unknown): string {
  if (!(error instanceof Error)) return 'not YAML';
  if ('code' in error && error.code === 'MULTIPLE_DOCS')
    return 'a manifest is one document, and the text holds several';
  if (error.message.startsWith('Maximum call stack size exceeded')) return TOO_DEEP;
  const [first = 'not YAML'] = error.message.split('\n');
  return first.replace(/ at line \d+, column \d+:?$/, '');
}

function boundedEquality(): (a: ParsedNode, b: ParsedNode) => boolean {
  let comparisons = 0;
  return (a, b) => {
    comparisons += 1;
    if (comparisons > MAX_KEY_COMPARISONS) throw new Error('the manifest has more keys than any manifest needs');
    return a === b || (isScalar(a) && isScalar(b) && a.value === b.value);
  };
}

interface Knot {
  readonly path: Path;
  readonly message: string;
}

/**
 * What no later step could bear: an anchor that holds an alias to itself (a walk would never end, and its branches
 * double at every level), more levels or values than a manifest has, and a key that schemas of records leave out in
 * silence.
 */
function findKnot(root: unknown): Knot | undefined {
  const above = new Set<unknown>();
  let values = 0;
  const visit = (at: unknown, path: Path): Knot | undefined => {
    values += 1;
    if (values > MAX_VALUES) return { path: [], message: `the manifest has more than ${MAX_VALUES} values` };
    if (at === null || typeof at !== 'object') return undefined;
    if (above.has(at)) return { path, message: 'an alias refers to what it is a part of' };
    if (path.length > MAX_DEPTH) return { path, message: TOO_DEEP };
    above.add(at);
    for (const [key, entry] of Object.entries(at)) {
      const inside = [...path, Array.isArray(at) ? Number(key) : key];
      const knot =
        key === '__proto__' ? { path: inside, message: 'the key "__proto__" is reserved' } : visit(entry, inside);
      if (knot !== undefined) return knot;
    }
    above.delete(at);
    return undefined;
  };
  return visit(root, []);
}

function failed(errors: readonly ManifestError[]): ParsedManifest {
  return { ok: false, errors: [...errors].sort((a, b) => (a.line ?? 0) - (b.line ?? 0)).slice(0, MAX_ERRORS) };
}

/** A path that is refused as a whole needs no second error from the schema about the same path or below it. */
function withoutRepeats(errors: readonly ManifestError[], refused: readonly ManifestError[]): ManifestError[] {
  const taken = new Set<string>();
  return errors.filter((error) => {
    const covered =
      !refused.includes(error) && refused.some(({ path }) => error.path === path || error.path.startsWith(`${path}.`));
    const key = `${error.path}\n${error.message}`;
    if (covered || taken.has(key)) return false;
    taken.add(key);
    return true;
  });
}

function notEnforced(
  value: unknown,
  kind: 'Subcloud' | 'Network',
  lineOf: (path: Path) => number | null,
): ManifestError[] {
  const errors: ManifestError[] = [];
  const add = (path: Path, what: string): void => {
    if (errors.length >= MAX_ERRORS) return;
    errors.push({
      code: 'not_enforced',
      path: dotted(path),
      line: lineOf(path),
      message: `${what} is not enforced by this build: remove it, nothing is accepted and ignored`,
    });
  };
  const visit = (at: unknown, path: Path): void => {
    const pattern = dotted(path).replace(/\[\d+\]/g, '[]');
    if (path.length > 0 && NOT_ENFORCED[kind].has(pattern)) return add(path, pattern.replaceAll('[]', ''));
    if (typeof at === 'string') {
      if (VALUES_NOT_ENFORCED.get(pattern)?.has(at) === true) add(path, `${pattern}: ${at}`);
      if (/^spec\.models\.allow\[\]\.id$/.test(pattern) && /[*?[\]{}]/.test(at))
        add(path, `the glob ${JSON.stringify(at.slice(0, 80))}`);
    } else if (Array.isArray(at)) at.forEach((entry, index) => visit(entry, [...path, index]));
    else if (isRecord(at)) for (const [key, entry] of Object.entries(at)) visit(entry, [...path, key]);
  };
  visit(value, []);
  return errors;
}

function unknownPlaces(value: Record<string, unknown>, lineOf: (path: Path) => number | null): ManifestError[] {
  const errors: ManifestError[] = [];
  for (const list of ['in', 'notIn']) {
    const path = ['spec', 'nodes', 'location', list];
    const places = path.reduce<unknown>((at, key) => (isRecord(at) ? at[key] : undefined), value);
    if (!Array.isArray(places)) continue;
    places.forEach((place, index) => {
      // A hint costs a comparison with every name there is; nobody reads the fifty-first.
      if (typeof place !== 'string' || isPlace(place) || errors.length >= MAX_ERRORS) return;
      const hint = suggestPlace(place);
      const at = [...path, index];
      errors.push({
        code: 'invalid',
        path: dotted(at),
        line: lineOf(at),
        message: `${JSON.stringify(place.slice(0, 40))} is no place: use ISO 3166-1 or 3166-2 codes or a named domain${hint === undefined ? '' : `; did you mean ${hint}?`}`,
      });
    });
  }
  return errors;
}

function fromIssue(
  issue: z.core.$ZodIssue,
  value: unknown,
  kind: 'Subcloud' | 'Network',
  lineOf: (path: Path) => number | null,
): ManifestError[] {
  const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part));
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const hint = closest(key, knownKeys(path, kind));
      return {
        code: 'unknown_key' as const,
        path: dotted([...path, key]),
        line: lineOf([...path, key]),
        message: `unknown key ${JSON.stringify(key.slice(0, 80))}${hint === undefined ? '' : `; did you mean ${hint}?`}`,
      };
    });
  }
  const at = path.reduce<unknown>(
    (inner, key) =>
      inner !== null && typeof inner === 'object' ? (inner as Record<string | number, unknown>)[key] : undefined,
    value,
  );
  const missing = at === undefined && issue.code === 'invalid_type';
  const message = missing
    ? 'is required'
    : `${issue.message.replace(/^Invalid (?:input|option): /, '').replace(/, received \w+$/, '')}${seen(at)}`;
  return [{ code: 'invalid', path: dotted(path), line: lineOf(path), message }];
}

/** The keys that the schema has at a path, for "did you mean". */
function knownKeys(path: Path, kind: 'Subcloud' | 'Network'): string[] {
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

function findLine(document: Document, lines: LineCounter, path: Path): number | null {
  for (let length = path.length; length >= 0; length--) {
    const parent = length === 0 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const last = path[length - 1];
    if (length > 0 && isMap(parent)) {
      const pair = parent.items.find(({ key }) => isRecord(key) && key['value'] === last);
      const range = pair !== undefined && isRecord(pair.key) ? pair.key['range'] : undefined;
      if (Array.isArray(range)) return lines.linePos(Number(range[0])).line;
    } else if (length > 0 && isSeq(parent)) {
      const node = parent.items[Number(last)];
      const range = isRecord(node) ? node['range'] : undefined;
      if (Array.isArray(range)) return lines.linePos(Number(range[0])).line;
    }
  }
  return null;
}

function dotted(path: Path): string {
  return path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text === '' ? part : `${text}.${part}`),
    '',
  );
}

function seen(value: unknown): string {
  if (value === undefined) return '';
  const text = JSON.stringify(value) ?? typeof value;
  return `, not ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
