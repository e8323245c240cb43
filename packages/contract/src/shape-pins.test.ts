/**
 * No wire message and no signed document changes its shape unnoticed: the hash of each stands in shape-pins.json, by
 * protocol and version. A new message has to be pinned too: whatever schema a module of the wire exports is in here by itself.
 * Rules that are code (a refinement over two fields) are no part of a JSON Schema; recordings (tests/versions) are for those.
 */
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as z from 'zod';
import * as audit from './audit.ts';
import * as controlChannel from './control-channel.ts';
import * as documents from './documents.ts';
import * as link from './link.ts';
import * as receipts from './receipts.ts';
import { controlRoutes } from './routes/control.ts';
import { rowSchemas } from './table-schemas.ts';
import { TABLE_FORMAT } from './table.ts';
import * as watch from './watch.ts';

/** Messages that are checked by no schema, being control's word to its gateways: the text of their types. */
const ONLY_TYPES = ['WatchMessage', 'AcknowledgeResponse', 'UsageResponse'];

const present: Readonly<Record<string, ReadonlyMap<string, unknown>>> = {
  [`link ${link.LINK_VERSION}`]: schemasOf(link),
  [`watch ${watch.WATCH_VERSION}`]: new Map([
    ...schemasOf(watch),
    ...ONLY_TYPES.map((name): [string, unknown] => [name, typeText('watch.ts', name)]),
  ]),
  [`table ${TABLE_FORMAT}`]: schemasOf(rowSchemas),
  [`document ${documents.DOCUMENT_VERSION}`]: schemasOf(documents),
  'control channel 1': schemasOf(controlChannel),
  'receipt 1': schemasOf(receipts),
  'audit 1': schemasOf(audit),
  'enrolment 1': schemasOf({ request: controlRoutes.enrol.body, response: controlRoutes.enrol.response }),
};

/** By name; of messages that are told apart by `type`, each by itself. */
function schemasOf(exported: object): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [name, value] of Object.entries(exported) as [string, unknown][]) {
    if (value instanceof z.ZodDiscriminatedUnion)
      for (const option of value.options as z.ZodObject[]) {
        const { type } = option.shape as { readonly type: z.ZodLiteral<string> };
        found.set(`${name} ${type.value}`, schemaOf(option));
      }
    else if (value instanceof z.ZodType) found.set(name, schemaOf(value));
  }
  return found;
}

function schemaOf(schema: z.ZodType): unknown {
  return z.toJSONSchema(schema, { io: 'input', reused: 'inline', unrepresentable: 'any' });
}

/** A declaration, without comments and line breaks. */
function typeText(file: string, name: string): string {
  const text = readFileSync(join(import.meta.dirname, file), 'utf8');
  const declared = new RegExp(`^export (?:type|interface) ${name}\\b[\\s\\S]*?(?=^(?:export|const|/\\*\\*))`, 'm');
  const [declaration] = declared.exec(text) ?? [];
  if (declaration === undefined) throw new Error(`${file} declares no ${name}`);
  return declaration.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/\s+/g, ' ');
}

/** The same for the same shape, in whatever order it is written down. */
function shapeHash(schema: unknown): string {
  const canonical = (key: string, value: unknown): unknown => {
    if (key === 'description' && typeof value === 'string') return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.toSorted();
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1)));
  };
  return hash('sha256', JSON.stringify(schema, canonical)).slice(0, 16);
}

const NEXT = `What goes over the wire has another shape than its version is pinned with.
- After a release: shapes of a released version stay. Give the protocol a new version (docs/versions.md), put what is new into that one
  alone, and pin it beside the old one. A new optional field is a new shape too: peers of this version refuse what they do not know.
- Before the first release, or where no peer can tell (a bound that nothing ever reached; a new zod that writes the same shape
  differently): pin it again, and say why in the dated history at the head of the module.
packages/contract/src/shape-pins.json is to have:`;

test('every wire message and signed document has the shape that its version is pinned with', () => {
  const pins = z
    .record(z.string(), z.record(z.string(), z.string()))
    .parse(JSON.parse(readFileSync(join(import.meta.dirname, 'shape-pins.json'), 'utf8')));
  const shapes = Object.fromEntries(
    Object.entries(present).map(([version, schemas]) => [
      version,
      Object.fromEntries([...schemas].map(([name, schema]) => [name, shapeHash(schema)])),
    ]),
  );
  for (const [version, ofIt] of Object.entries(shapes)) expect(Object.keys(ofIt), version).not.toEqual([]);
  // What is pinned of earlier versions stays, as their history.
  const pinned = Object.fromEntries(Object.entries(pins).filter(([version]) => version in shapes));
  expect(pinned, `${NEXT}\n${JSON.stringify(shapes, null, 2)}`).toEqual(shapes);
});

test('a shape has another hash with every change that a peer could see, and no other', () => {
  const base = z.strictObject({ a: z.string().max(8), b: z.enum(['x', 'y']).optional() });
  const same = z.strictObject({ b: z.enum(['y', 'x']).optional(), a: z.string().max(8).describe('words') });
  expect(shapeHash(schemaOf(same))).toBe(shapeHash(schemaOf(base)));
  const others = [
    base.extend({ c: z.literal(true).optional() }),
    base.extend({ a: z.string().max(9) }),
    base.extend({ a: z.string().max(8).optional() }),
    base.extend({ a: z.string().max(8).nullable() }),
    base.extend({ a: z.string().max(8).regex(/^x/) }),
    base.extend({ b: z.enum(['x', 'y', 'z']).optional() }),
    base.omit({ b: true }),
    base.loose(),
  ];
  const hashes = new Set([base, ...others].map((schema) => shapeHash(schemaOf(schema))));
  expect(hashes.size).toBe(others.length + 1);
});
