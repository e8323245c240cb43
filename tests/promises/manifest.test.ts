/** What is accepted is enforced: a manifest is taken whole, with nothing in it left out, or refused at the fault. */
import { NOT_ENFORCED } from '@subcloud/policy/not-enforced';
import { parseManifest } from '@subcloud/policy/parse-manifest';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { principal, runs, spec } from './arbitraries.ts';
import type { OracleSubcloud } from './oracle.ts';

const RUNS = runs(2_000);

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type Path = readonly (string | number)[];

const name = fc.constantFrom('a', 'eu-health', '0', 'x'.repeat(63));
const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
const labels = fc.dictionary(fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,9}$/), text, { maxKeys: 3 });

/** A manifest that holds, with any of its optional parts. */
const manifest: fc.Arbitrary<Json> = fc
  .record({
    metadata: fc.record({ name, owner: principal, displayName: text, labels }, { requiredKeys: ['name'] }),
    spec: fc.tuple(spec, fc.boolean(), fc.subarray(['models', 'nodes', 'participation', 'isolation', 'access'])),
  })
  .map(({ metadata, spec: [drawn, tokens, parts] }) => {
    const whole = { ...sound(drawn), access: { tokens } };
    const kept = Object.entries(whole).filter(([key]) => parts.includes(key));
    return JSON.parse(
      JSON.stringify({ apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata, spec: Object.fromEntries(kept) }),
    ) as Json;
  });

type Provenance = { readonly source?: unknown; readonly by?: unknown };
type Drawn = { readonly models: Record<string, unknown>; readonly nodes: Record<string, unknown> };

/** What was drawn, without what says nothing and what contradicts itself: `decide` bears that, a manifest may not say it. */
function sound(drawn: OracleSubcloud['spec']): object {
  const { models, nodes } = structuredClone(drawn) as unknown as Drawn;
  if (models['allow'] === undefined) delete models['dedicated'];
  if (nodes['maxAge'] === '0s') nodes['maxAge'] = '1s';
  const { hardware, location, operatorSeat, trust } = nodes as Readonly<Record<string, Provenance | undefined>>;
  if (hardware !== undefined && JSON.stringify(Reflect.get(hardware, 'gpu')) === '{}') delete nodes['hardware'];
  for (const clause of [hardware, location, operatorSeat, trust]) {
    if (Array.isArray(clause?.source) && !clause.source.includes('attested')) Reflect.deleteProperty(clause, 'by');
  }
  for (const places of [location, operatorSeat] as readonly ({ readonly in?: string[] } | undefined)[]) {
    // No list that is drawn takes Antarctica out.
    places?.in?.push('AQ');
  }
  const { isolation, participation } = drawn;
  const autoJoin = participation.autoJoin && isolation !== 'exclusive';
  return { ...drawn, models, nodes, participation: { ...participation, autoJoin } };
}

const written: readonly ((value: Json) => string)[] = [
  (value) => JSON.stringify(value),
  (value) => JSON.stringify(value, null, 2),
  (value) => stringify(value),
  (value) => stringify(value, { collectionStyle: 'flow', defaultStringType: 'QUOTE_SINGLE' }),
];
const writer = fc.constantFrom(...written);

describe('parseManifest', { timeout: 120_000 }, () => {
  it('takes every manifest that holds, in any spelling, and leaves nothing of it out', () => {
    fc.assert(
      fc.property(manifest, writer, (input, write) => {
        const parsed = parseManifest(write(input));
        expect(parsed).toMatchObject({ ok: true, kind: 'Subcloud' });
        expect(missing(input, parsed.ok ? (parsed.manifest as unknown as Json) : null)).toEqual([]);
      }),
      RUNS,
    );
  });

  it('reads what it made of a manifest as that same manifest', () => {
    fc.assert(
      fc.property(manifest, writer, writer, (input, write, again) => {
        const first = parseManifest(write(input));
        expect(first.ok && parseManifest(again(first.manifest as unknown as Json))).toEqual(first);
      }),
      RUNS,
    );
  });

  it('refuses a manifest with one thing too many, wherever it stands, by its path', () => {
    const extra = fc.tuple(fc.constantFrom('zzz', 'in_', 'constructor', 'toString', '__proto__', ''), fc.nat());
    fc.assert(
      fc.property(manifest, extra, writer, (input, [key, which], write) => {
        // Labels take any key, and a key that was there would not be one too many.
        const maps = pathsOf(input, isMap).filter((path) => !path.includes('labels'));
        const at = maps[which % maps.length] ?? [];
        const parsed = parseManifest(write(withValue(input, [...at, key], 1)));
        expect(parsed.ok ? [] : parsed.errors.map(({ path }) => path)).toContain(dotted([...at, key]));
      }),
      RUNS,
    );
  });

  it('refuses a manifest with one wrong value, wherever it stands', () => {
    const wrong = fc.constantFrom<Json>(null, 12.5, -12.5, { a: 1 }, [[]], 'no such thing, by any clause \u0000', []);
    fc.assert(
      fc.property(manifest, wrong, fc.nat(), writer, (input, value, which, write) => {
        const places = pathsOf(input, () => true).filter((path) => path.length > 0);
        const path = places[which % places.length] ?? [];
        const before = valueAt(input, path);
        // A text may be any text where no rule says more.
        fc.pre(!(typeof value === 'string' && /displayName|labels/.test(path.join())));
        // Memory may be any amount above none.
        fc.pre(!(value === 12.5 && /vramGiB,(min|max)$/.test(path.join())));
        fc.pre(JSON.stringify(before) !== JSON.stringify(value));
        expect(parseManifest(write(withValue(input, path, value))).ok).toBe(false);
      }),
      RUNS,
    );
  });

  it('refuses every part that is not enforced, by name, whatever it says and whatever stands beside it', () => {
    const parts = [...NOT_ENFORCED.Subcloud].filter((path) => !path.includes('[]'));
    fc.assert(
      fc.property(
        manifest,
        fc.constantFrom(...parts),
        fc.jsonValue({ maxDepth: 2 }),
        writer,
        (input, part, value, write) => {
          // Of what is below, this key alone is refused before any clause is looked at.
          fc.pre(!JSON.stringify(value).includes('__proto__'));
          const parsed = parseManifest(write(withValue(input, part.split('.'), value as Json)));
          expect(parsed.ok ? [] : parsed.errors).toContainEqual(
            expect.objectContaining({ code: 'not_enforced', path: part }),
          );
        },
      ),
      RUNS,
    );
  });

  it('never throws, whatever the text, and always says what is wrong with what it refuses', () => {
    const word = fc.constantFrom(
      'apiVersion: subcloud/v1\n',
      'kind: Subcloud\n',
      'kind: Network\n',
      'metadata: { name: a }\n',
      'spec:\n',
      '  nodes:\n',
      '    location:\n',
      '      in: [',
      ']',
      '{',
      '}',
      ': ',
      '- ',
      '? ',
      ',',
      '&a ',
      '*a',
      '!!set ',
      '!x ',
      '"',
      "'",
      '|\n',
      '>-\n',
      '#',
      '\t',
      '\n',
      '---\n',
      '...\n',
      '%YAML 1.1\n',
      '<<: ',
      '~',
      '.inf',
      '0x1F',
      '\uFEFF',
      '\u0000',
      '__proto__: ',
      'constructor: ',
      '2020-01-01',
      'EU',
      'isolation: ',
      'exclusive',
      'models: { allow: [{ id: "*" }] }\n',
    );
    const anything = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.array(word, { maxLength: 40 }).map((words) => words.join('')),
      fc.array(word, { maxLength: 20 }).map((words) => `apiVersion: subcloud/v1\nkind: Subcloud\n${words.join('')}`),
      fc.json(),
      fc.tuple(fc.jsonValue(), writer).map(([value, write]) => write(value as Json)),
    );
    fc.assert(
      fc.property(anything, (input) => {
        const parsed = parseManifest(input);
        if (parsed.ok) return;
        expect(parsed.errors.length).toBeGreaterThan(0);
        for (const { message, line } of parsed.errors) {
          expect(message.length).toBeGreaterThan(3);
          expect(line === null || (line >= 1 && line <= input.split('\n').length)).toBe(true);
        }
      }),
      runs(5_000),
    );
  });
});

function isMap(value: Json): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function pathsOf(value: Json, wanted: (value: Json) => boolean, path: Path = []): readonly Path[] {
  const here = wanted(value) ? [path] : [];
  if (typeof value !== 'object' || value === null) return here;
  const inside = Array.isArray(value)
    ? value.map((entry, index): [number, Json] => [index, entry as Json])
    : Object.entries(value as { readonly [key: string]: Json });
  return [...here, ...inside.flatMap(([key, entry]) => pathsOf(entry, wanted, [...path, key]))];
}

/** What of `part` is not in `whole`: paths at which it is gone or has become something else. */
function missing(part: Json, whole: Json): readonly string[] {
  return pathsOf(part, () => true)
    .filter((path) => {
      const [before, after] = [valueAt(part, path), valueAt(whole, path)];
      return typeof before === 'object' && before !== null
        ? typeof after !== 'object' || Array.isArray(before) !== Array.isArray(after)
        : before !== after;
    })
    .map(dotted);
}

function valueAt(value: Json | undefined, path: Path): Json | undefined {
  return path.reduce<Json | undefined>(
    (at, key) =>
      typeof at === 'object' && at !== null && Object.hasOwn(at, key)
        ? (at as Readonly<Record<string | number, Json>>)[key]
        : undefined,
    value,
  );
}

function withValue(value: Json, path: Path, put: Json): Json {
  const [key, ...rest] = path;
  if (key === undefined) return put;
  if (Array.isArray(value))
    return value.map((entry: Json, index) => (index === key ? withValue(entry, rest, put) : entry));
  const map = isMap(value) ? value : {};
  const next = withValue(Object.hasOwn(map, key) ? (map[key] ?? null) : {}, rest, put);
  // Not by assignment: `__proto__` is to be a key like any other here.
  return Object.fromEntries([...Object.entries(map).filter(([other]) => other !== String(key)), [String(key), next]]);
}

function dotted(path: Path): string {
  return path.reduce<string>(
    (all, part) => (typeof part === 'number' ? `${all}[${part}]` : all === '' ? part : `${all}.${part}`),
    '',
  );
}
