/** The manifest as a JSON Schema (2020-12), so that editors complete it. What this build does not enforce is not in it. */
import * as z from 'zod';
import { networkManifest, subcloudManifest } from './manifest.ts';
import { describeManifestKey } from './manifest-words.ts';

export interface JsonSchema {
  readonly [key: string]: unknown;
}

/** The schema of one kind; default: of either. Each call returns an object of its own. */
export function manifestJsonSchema(kind?: 'Subcloud' | 'Network'): JsonSchema {
  const $schema = 'https://json-schema.org/draft/2020-12/schema';
  if (kind === undefined)
    return { $schema, title: 'Subcloud manifest', anyOf: [schemaOf('Subcloud'), schemaOf('Network')] };
  return { $schema, ...schemaOf(kind) };
}

function schemaOf(kind: 'Subcloud' | 'Network'): JsonSchema {
  const source = kind === 'Subcloud' ? subcloudManifest : networkManifest;
  const { $schema: _, ...schema } = z.toJSONSchema(source, { io: 'input', reused: 'inline' });
  describe(schema, '', kind);
  return { title: `Manifest of kind ${kind}`, ...schema };
}

/** Puts the description of each key at its place. */
function describe(schema: unknown, path: string, kind: 'Subcloud' | 'Network'): void {
  if (schema === null || typeof schema !== 'object') return;
  const { properties, items, anyOf } = schema as {
    readonly properties?: Readonly<Record<string, Record<string, unknown>>>;
    readonly items?: unknown;
    readonly anyOf?: readonly unknown[];
  };
  for (const option of anyOf ?? []) describe(option, path, kind);
  if (items !== undefined) describe(items, `${path}[]`, kind);
  for (const [key, property] of Object.entries(properties ?? {})) {
    const inside = path === '' ? key : `${path}.${key}`;
    const description = describeManifestKey(inside, kind);
    if (description !== undefined) property['description'] = description;
    describe(property, inside, kind);
  }
}
