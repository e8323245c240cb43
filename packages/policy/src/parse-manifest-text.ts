/** YAML or JSON text to a value and the lines of its paths, whatever the text: bounded, and never a throw. */
import { type Document, Lexer, LineCounter, type ParsedNode, isMap, isScalar, isSeq, parseDocument } from 'yaml';
import { type LineOf, type ManifestError, type Path, dotted, isRecord } from './parse-manifest-error.ts';

export const MAX_MANIFEST_BYTES = 262_144;
const MAX_ALIASES = 32;
const MAX_DEPTH = 32;
/**
 * Words, marks and gaps of the text. The parser takes some microseconds for each, more where it is wrong, and nothing else
 * of control runs meanwhile; the largest manifests that people write have a tenth of it.
 */
const MAX_TOKENS = 40_000;
/** Values in one manifest, several times what its longest lists can hold. */
const MAX_VALUES = 20_000;
/** The parser compares every key of a map with all before it; this many are some 1,400 keys in one map. */
const MAX_KEY_COMPARISONS = 1_000_000;
const TOO_DEEP = `the manifest is nested deeper than ${MAX_DEPTH} levels`;

export type ReadText =
  | { readonly ok: true; readonly value: unknown; readonly lineOf: LineOf }
  | { readonly ok: false; readonly error: ManifestError };

/** Reads one document of at most 256 KiB. */
export function readText(text: string): ReadText {
  // A character is at least a byte, so a text of too many characters need not be encoded to be refused.
  if (text.length > MAX_MANIFEST_BYTES || new TextEncoder().encode(text).byteLength > MAX_MANIFEST_BYTES)
    return refused('too_large', [], null, `the manifest is larger than ${MAX_MANIFEST_BYTES} bytes`);
  if (hasTooManyTokens(text))
    return refused('too_large', [], null, `the manifest has more than ${MAX_TOKENS} words and marks`);
  const lines = new LineCounter();
  let document: Document;
  let value: unknown;
  try {
    document = parseDocument(text, {
      lineCounter: lines,
      uniqueKeys: boundedEquality(),
      stringKeys: true,
      merge: false,
      // Each would be drawn with its line, and a hostile text has a hundred thousand of them.
      prettyErrors: false,
    });
    // A warning is a tag or a directive that the parser does not know and goes on without: that would be ignoring it.
    const fault = document.errors[0] ?? document.warnings[0];
    if (fault !== undefined) return refused('syntax', [], lines.linePos(fault.pos[0]).line, syntaxMessage(fault));
    value = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    return refused('syntax', [], null, syntaxMessage(error));
  }
  const lineOf: LineOf = (path) => findLine(document, lines, path);
  const knot = findKnot(value);
  if (knot !== undefined) return refused('syntax', knot.path, lineOf(knot.path), knot.message);
  return { ok: true, value, lineOf };
}

/** Counts lazily: what comes after the last one that is allowed is not looked at. */
function hasTooManyTokens(text: string): boolean {
  // A token has at least a character.
  if (text.length <= MAX_TOKENS) return false;
  let tokens = 0;
  for (const _ of new Lexer().lex(text)) if (++tokens > MAX_TOKENS) return true;
  return false;
}

function refused(code: ManifestError['code'], path: Path, line: number | null, message: string): ReadText {
  return { ok: false, error: { code, path: dotted(path).slice(0, 200), line, message } };
}

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
