/** conformance/manifest/refused.yaml, and which places a manifest may name. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import * as z from 'zod';
import { type ParseOptions, parseManifest } from './parse-manifest.ts';
import { createPlaceRegistry } from './place-registry.ts';

const HEAD = 'apiVersion: subcloud/v1\nkind: Subcloud\nmetadata: { name: lab }\n';
const cases = z
  .array(
    z.strictObject({
      name: z.string(),
      spec: z.looseObject({}),
      line: z.int(),
      path: z.string(),
      code: z.string(),
      message: z.string(),
    }),
  )
  .parse(parse(readFileSync(new URL('../../../conformance/manifest/refused.yaml', import.meta.url), 'utf8')));

describe('a manifest is refused with path, line and what to do', () => {
  it.each(cases)('$name', ({ spec, line, path, code, message }) => {
    expect(parseManifest(HEAD + stringify({ spec }, { lineWidth: 0 }))).toEqual({
      ok: false,
      errors: [{ line, path, code, message }],
    });
  });

  it('in more than sixty ways', () => {
    expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
    expect(cases.length).toBeGreaterThan(60);
  });

  it('the Network manifest too, which cannot keep models out of other pools', () => {
    const network = 'kind: Network\napiVersion: subcloud/v1\nspec:\n';
    expect(parseManifest(`${network}  models:\n    allow: [{ id: a }]\n    private: true\n`)).toEqual({
      ok: false,
      errors: [
        {
          code: 'invalid',
          path: 'spec.models.private',
          line: 6,
          message: 'the Network manifest governs the global pool alone and cannot keep models out of others',
        },
      ],
    });
    expect(parseManifest(`${network}  nodes: { location: { in: [EUU] } }`)).toMatchObject({
      ok: false,
      errors: [{ line: 4, path: 'spec.nodes.location.in[0]' }],
    });
  });
});

describe('places are judged by the registry that is given', () => {
  const spec = '{ nodes: { location: { in: [PLANTS, EU] }, operatorSeat: { in: ["org:acme/OFFICES"] } } }';
  const plants = { id: 'PLANTS', title: 'Plants', version: '2026-01-01', members: ['DE', 'CH'] };

  it('a domain that it has is a place, others are not', () => {
    const registry = createPlaceRegistry([plants]);
    expect(faults(spec, { registry })).toEqual([
      'spec.nodes.operatorSeat.in[0]: "org:acme/OFFICES" is no place: use ISO 3166-1 or 3166-2 codes or a named domain',
    ]);
    expect(faults('{ nodes: { location: { in: [PLANST] } } }', { registry })[0]).toContain('did you mean PLANTS?');
    expect(faults('{ nodes: { location: { in: [DE], notIn: [PLANTS] } } }', { registry })).toHaveLength(1);
  });

  it('notIn may leave a part of every place', () => {
    expect(faults('{ nodes: { location: { in: [DE], notIn: [DE-BY] } } }', {})).toEqual([]);
    expect(faults('{ nodes: { location: { in: [DE-BY], notIn: [DE-BY] } } }', {})).toHaveLength(1);
  });

  function faults(text: string, options: ParseOptions): readonly string[] {
    const parsed = parseManifest(`${HEAD}spec: ${text}`, options);
    return parsed.ok ? [] : parsed.errors.map(({ path, message }) => `${path}: ${message}`);
  }
});
