import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { manifestJsonSchema } from './json-schema.ts';
import { NOT_ENFORCED, VALUES_NOT_ENFORCED } from './not-enforced.ts';

type Schema = Readonly<Record<string, unknown>>;
const KINDS = ['Subcloud', 'Network'] as const;
const root = path.resolve(import.meta.dirname, '../../..');
const refused = parse(readFileSync(path.join(root, 'conformance/manifest/refused.yaml'), 'utf8')) as {
  readonly name: string;
  readonly code: string;
  readonly spec: object;
}[];
/** Manifests of the documentation and the examples, where they are all in force. */
const examples = existsSync(path.join(root, 'examples'))
  ? readdirSync(path.join(root, 'examples'), { recursive: true, encoding: 'utf8' }).filter((file) =>
      /(team-finetune|eu-only).*\.ya?ml$/.test(file),
    )
  : [];

describe.each(KINDS)('the JSON Schema of kind %s', (kind) => {
  it('describes every key', () => {
    const keys = keysOf(manifestJsonSchema(kind));
    expect(keys.length).toBeGreaterThan(90);
    expect(keys.filter(({ schema }) => typeof schema['description'] !== 'string').map((key) => key.path)).toEqual([]);
  });

  it('has nothing that this build does not enforce', () => {
    const paths = new Set(keysOf(manifestJsonSchema(kind)).map((key) => key.path));
    for (const missing of NOT_ENFORCED[kind]) expect(paths).not.toContain(missing);
    for (const [at, values] of VALUES_NOT_ENFORCED) {
      const schema = keysOf(manifestJsonSchema(kind)).find((key) => key.path === at)?.schema;
      for (const value of values) expect(JSON.stringify(schema ?? {})).not.toContain(`"${value}"`);
    }
  });

  it('closes every map but labels, so that editors mark unknown keys', () => {
    const open = [{ path: '', schema: manifestJsonSchema(kind) }, ...keysOf(manifestJsonSchema(kind))]
      .filter(({ schema }) => schema['properties'] !== undefined && schema['additionalProperties'] !== false)
      .map((key) => key.path);
    expect(open).toEqual([]);
  });
});

describe('the JSON Schema', () => {
  const head = { apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata: { name: 'lab' } };

  it('of both kinds takes either', () => {
    const schema = manifestJsonSchema();
    expect(faults(schema, { ...head, spec: {} })).toEqual([]);
    expect(faults(schema, { apiVersion: 'subcloud/v1', kind: 'Network' })).toEqual([]);
    expect(faults(schema, { apiVersion: 'subcloud/v1', kind: 'Cluster' })).not.toEqual([]);
  });

  it.each(examples)('takes examples/%s', (file) => {
    const manifest: unknown = parse(readFileSync(path.join(root, 'examples', file), 'utf8'));
    if ((manifest as { kind?: string }).kind === undefined) return;
    expect(faults(manifestJsonSchema(), manifest)).toEqual([]);
  });

  it.each(refused.filter(({ code }) => code === 'unknown_key'))('refuses as the parser does: $name', ({ spec }) => {
    expect(faults(manifestJsonSchema('Subcloud'), { ...head, spec })).not.toEqual([]);
  });

  it('takes every clause that is in force', () => {
    const spec = parse(`
models: { allow: [{ id: "lab/*" }, { id: a, alias: b, audited: { by: [medcert], maxAge: 30d } }], dedicated: true }
nodes:
  location: { in: [EU], source: [measured, attested], by: [network] }
  operatorSeat: { in: [EEA], source: attested }
  hardware: { gpu: { model: [H100], vramGiB: { min: 79 }, count: { min: 1 }, confidential: true }, source: attested }
  trust: { level: verified, reputation: { min: 0.95 }, stake: { min: "1000 CREDIT" } }
  labels: { tier: gold }
  where: node.uptime.d30 > 0.99
tests: [{ name: a, node: { location: { country: HU } }, expect: { eligible: false, failing: [nodes.location] } }]
`) as object;
    expect(faults(manifestJsonSchema('Subcloud'), { ...head, spec })).toEqual([]);
  });
});

interface Key {
  readonly path: string;
  readonly schema: Schema;
}

function keysOf(schema: unknown, at = ''): Key[] {
  if (schema === null || typeof schema !== 'object') return [];
  const {
    properties = {},
    items,
    anyOf = [],
  } = schema as {
    readonly properties?: Readonly<Record<string, Schema>>;
    readonly items?: Schema;
    readonly anyOf?: readonly Schema[];
  };
  return [
    ...anyOf.flatMap((branch) => keysOf(branch, at)),
    ...keysOf(items, `${at}[]`),
    ...Object.entries(properties).flatMap(([name, inner]) => {
      const inside = at === '' ? name : `${at}.${name}`;
      return [{ path: inside, schema: inner }, ...keysOf(inner, inside)];
    }),
  ];
}

/** The part of JSON Schema that the schema uses; an unknown keyword would be a check that this skips, so it throws. */
const KNOWN = new Set([
  '$schema',
  'title',
  'description',
  'default',
  'type',
  'properties',
  'required',
  'additionalProperties',
  'propertyNames',
  'items',
  'anyOf',
  'enum',
  'const',
  'pattern',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
]);

function faults(schema: Schema, value: unknown, at = ''): string[] {
  for (const keyword of Object.keys(schema)) if (!KNOWN.has(keyword)) throw new Error(`${keyword} at ${at}`);
  const {
    type,
    anyOf,
    items,
    properties = {},
    required = [],
    additionalProperties,
  } = schema as {
    readonly type?: string;
    readonly anyOf?: readonly Schema[];
    readonly items?: Schema;
    readonly properties?: Readonly<Record<string, Schema>>;
    readonly required?: readonly string[];
    readonly additionalProperties?: boolean | Schema;
  };
  const found: string[] = [];
  if (anyOf !== undefined && !anyOf.some((branch) => faults(branch, value, at).length === 0)) found.push(`${at} anyOf`);
  if (type !== undefined && !isOfType(type, value)) return [...found, `${at} is no ${type}`];
  if (Array.isArray(schema['enum']) && !schema['enum'].includes(value)) found.push(`${at} enum`);
  if (schema['const'] !== undefined && schema['const'] !== value) found.push(`${at} const`);
  if (typeof schema['pattern'] === 'string' && !new RegExp(schema['pattern']).test(String(value)))
    found.push(`${at} pattern`);
  if (Array.isArray(value) && items !== undefined)
    found.push(...value.flatMap((entry, index) => faults(items, entry, `${at}[${index}]`)));
  if (type !== 'object') return found;
  const record = value as Readonly<Record<string, unknown>>;
  for (const key of required) if (record[key] === undefined) found.push(`${at}.${key} is required`);
  for (const [key, inner] of Object.entries(record)) {
    const known = properties[key];
    if (known !== undefined) found.push(...faults(known, inner, `${at}.${key}`));
    else if (additionalProperties === false) found.push(`${at}.${key} is not known`);
    else if (typeof additionalProperties === 'object')
      found.push(...faults(additionalProperties, inner, `${at}.${key}`));
  }
  return found;
}

function isOfType(type: string, value: unknown): boolean {
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return value !== null && typeof value === 'object' && !Array.isArray(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}
