/** Values of a JSON Schema (2020-12, as zod writes it), and values that are nearly of it. */
import fc from 'fast-check';

export type Schema = Readonly<Record<string, unknown>>;

const MAX_DEPTH = 4;

/** What breaks parsers, stores and comparisons more often than chance would find. */
const NASTY = [
  '',
  ' ',
  '\u0000',
  'a\u0000b',
  '\ud800',
  '../../etc/passwd',
  '%00',
  "' or 1=1 --",
  '$1',
  '{{7*7}}',
  '__proto__',
  'constructor',
  '𝕏'.repeat(40),
  'e\u0301',
  'x'.repeat(5_000),
  '9'.repeat(400),
  '-1',
  '1e309',
  'NaN',
  'null',
  'true',
  '2026-13-45T99:99:99Z',
  '0001-01-01T00:00:00Z',
  '+275760-09-13T00:00:00.000Z',
  'nod_0',
  'user:a',
  'org:acme',
  'global',
] as const;
/** Ids and names of every form that the contract has. */
const SAMPLES = [
  'abc',
  'eu-health',
  'DE',
  'EU',
  'HOME-2',
  'user:ada',
  'org:acme',
  'team:acme/ml',
  'service:acme/ci',
  'key_0123456789abcdefghjk',
  'tok_0123456789abcdefghjk',
  'ban_0123456789abcdefghjk',
  'nod_0123456789abcdefghjk',
  'ada@example.com',
  '127.0.0.0/8',
  '2001:db8::/32',
  '1000 CREDIT',
  '10m',
  'a'.repeat(64),
  'A'.repeat(43),
  `sha256:${'0'.repeat(64)}`,
] as const;
const nasty = fc.constantFrom<string>(...NASTY);
const junk: fc.Arbitrary<unknown> = fc.oneof(
  nasty,
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(2 ** 53, -0.5, 1e300),
);

/** Values that the schema takes, as far as JSON Schema can say it. */
export function valid(given: Schema | boolean, depth = 0): fc.Arbitrary<unknown> {
  const schema = typeof given === 'boolean' ? {} : given;
  if ('const' in schema) return fc.constant(schema['const']);
  if (Array.isArray(schema['enum'])) return fc.constantFrom(...(schema['enum'] as unknown[]));
  const options = (schema['anyOf'] ?? schema['oneOf']) as Schema[] | undefined;
  if (options !== undefined) return fc.oneof(...options.map((option) => valid(option, depth + 1)));
  switch (schema['type']) {
    case 'null':
      return fc.constant(null);
    case 'boolean':
      return fc.boolean();
    case 'integer':
      return fc.integer(bounds(schema, -1_000, 1_000));
    case 'number':
      return fc.double({ ...bounds(schema, -1_000, 1_000), noNaN: true });
    case 'string':
      return text(schema);
    case 'array':
      if (Array.isArray(schema['prefixItems']))
        return fc.tuple(...(schema['prefixItems'] as Schema[]).map((item) => valid(item, depth + 1)));
      return fc.array(valid((schema['items'] ?? {}) as Schema, depth + 1), {
        minLength: Number(schema['minItems'] ?? 0),
        maxLength: Math.max(Number(schema['minItems'] ?? 0), Math.min(Number(schema['maxItems'] ?? 3), 3)),
      });
    case 'object':
      return object(schema, depth);
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

/** Something else in some place: a value replaced, left out, added, or all of it. */
export function nearly(schema: Schema): fc.Arbitrary<unknown> {
  return fc
    .tuple(valid(schema), junk, fc.nat(), fc.constantFrom('drop', 'replace', 'add', 'all', 'deep'))
    .map(([value, other, at, how]) => {
      if (how === 'all' || value === null || typeof value !== 'object') return other;
      return spoiled(value, other, at, how);
    });
}

function spoiled(value: object, other: unknown, at: number, how: string): unknown {
  const copy = structuredClone(value) as Record<string, unknown>;
  const keys = Object.keys(copy);
  const key = keys[at % Math.max(1, keys.length)];
  if (how === 'add' || key === undefined) return { ...copy, [`more${at}`]: other };
  const inner = copy[key];
  if (how === 'drop') delete copy[key];
  else if (how === 'deep' && inner !== null && typeof inner === 'object')
    copy[key] = spoiled(inner, other, at + 1, 'replace');
  else copy[key] = other;
  return copy;
}

function text(schema: Schema): fc.Arbitrary<string> {
  const {
    pattern,
    format,
    minLength = 0,
    maxLength = 40,
  } = schema as {
    pattern?: string;
    format?: string;
    minLength?: number;
    maxLength?: number;
  };
  if (format === 'date-time') {
    const range = { min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true } as const;
    return fc.date(range).map((date) => date.toISOString());
  }
  if (pattern !== undefined) {
    const wanted = new RegExp(pattern);
    const fits = (one: string): boolean => wanted.test(one) && one.length >= minLength && one.length <= maxLength;
    const known = [...SAMPLES, ...NASTY].filter(fits);
    // What looks around cannot be drawn from; where nothing is known that fits, something near it is sent.
    const drawn = /\(\?[=!<]/.test(pattern) ? [] : [fc.stringMatching(wanted).map((one) => one.slice(0, maxLength))];
    const all = [...(known.length === 0 ? [] : [fc.constantFrom(...known)]), ...drawn];
    return all.length === 0 ? nasty : fc.oneof(...all);
  }
  const length = { minLength, maxLength: Math.max(minLength, Math.min(maxLength, 40)) };
  return fc.oneof(
    fc.string({ ...length, unit: 'grapheme' }),
    nasty.filter((one) => one.length >= minLength && one.length <= maxLength),
  );
}

function object(schema: Schema, depth: number): fc.Arbitrary<object> {
  const required = (schema['required'] ?? []) as string[];
  const properties = Object.entries((schema['properties'] ?? {}) as Record<string, Schema>).filter(
    ([key]) => depth < MAX_DEPTH || required.includes(key),
  );
  const more = schema['additionalProperties'];
  if (properties.length === 0 && typeof more === 'object' && more !== null)
    return fc.dictionary(
      fc.oneof(fc.string({ minLength: 1, maxLength: 12 }), nasty),
      valid(more as Schema, depth + 1),
      {
        maxKeys: 3,
        noNullPrototype: true,
      },
    );
  const model = Object.fromEntries(properties.map(([key, inner]) => [key, valid(inner, depth + 1)]));
  return fc.record(model, { requiredKeys: required.filter((key) => key in model), noNullPrototype: true });
}

function bounds(schema: Schema, low: number, high: number): { min: number; max: number } {
  const least =
    schema['minimum'] ?? (schema['exclusiveMinimum'] === undefined ? low : Number(schema['exclusiveMinimum']) + 1);
  const most = schema['maximum'] ?? high;
  const min = Math.max(Number(least), -2_147_483_648);
  return { min, max: Math.max(min, Math.min(Number(most), 2_147_483_647)) };
}
