import { describe, expect, it } from 'vitest';
import { NOT_ENFORCED, VALUES_NOT_ENFORCED } from './not-enforced.ts';
import { parseManifest } from './parse-manifest.ts';

const NOT_BUILT = 'is not enforced by this build: remove it, nothing is accepted and ignored';

const SLA = [
  'spec.sla.availability',
  'spec.sla.capacity.minNodes',
  'spec.sla.errorRate',
  'spec.sla.evaluate',
  'spec.sla.onBreach',
  'spec.sla.tpot',
  'spec.sla.ttft',
];
/** What the format defines beyond what is in force. A path leaves both lists when its clause works. */
const LATER = {
  Subcloud: ['spec.participation.probation', ...SLA],
  Network: SLA,
};

describe('what this build does not enforce', () => {
  it('is known by name, all of it', () => {
    expect([...NOT_ENFORCED.Subcloud].sort()).toEqual(LATER.Subcloud);
    expect([...NOT_ENFORCED.Network].sort()).toEqual(LATER.Network);
    expect([...VALUES_NOT_ENFORCED]).toEqual([]);
  });

  it.each([...NOT_ENFORCED.Subcloud])('%s is refused by name', (path) => {
    const parsed = parseManifest(JSON.stringify(manifestWith(path, 'Subcloud', { anything: true })));
    const named = path.replaceAll('[]', '');
    expect(parsed).toMatchObject({ ok: false });
    expect(parsed.ok ? [] : parsed.errors).toContainEqual({
      code: 'not_enforced',
      path: path.replaceAll('[]', '[0]'),
      line: 1,
      message: `${named} ${NOT_BUILT}`,
    });
  });

  it.each([...NOT_ENFORCED.Network])('%s of the Network manifest is refused by name', (path) => {
    for (const value of [{ anything: true }, null, [], 'text', false]) {
      expect(faults(JSON.stringify(manifestWith(path, 'Network', value)))).toEqual([
        `1 ${path} not_enforced: ${path} ${NOT_BUILT}`,
      ]);
    }
  });

  it.each([...VALUES_NOT_ENFORCED].flatMap(([path, values]) => [...values].map((value) => [path, value] as const)))(
    '%s: %s is refused by name',
    (path, value) => {
      const manifest = manifestWith(path, 'Subcloud', value);
      expect(faults(JSON.stringify(manifest))).toContain(`1 ${path} not_enforced: ${path}: ${value} ${NOT_BUILT}`);
    },
  );

  it('is refused empty too: null would read as the clause being there', () => {
    for (const path of NOT_ENFORCED.Subcloud) {
      for (const value of [null, {}, [], '', false, 0]) {
        expect(parseManifest(JSON.stringify(manifestWith(path, 'Subcloud', value))).ok).toBe(false);
      }
    }
  });
});

/** The faults as `line path code: message`, in the order in which they are shown. */
function faults(text: string): readonly string[] {
  const parsed = parseManifest(text);
  return parsed.ok ? [] : parsed.errors.map(({ line, path, code, message }) => `${line} ${path} ${code}: ${message}`);
}

/** A manifest that is right but for `value` at `path`; `[]` in a path is the first entry of a list. */
function manifestWith(path: string, kind: 'Subcloud' | 'Network', value: unknown): object {
  const root: Record<string, unknown> =
    kind === 'Subcloud'
      ? { apiVersion: 'subcloud/v1', kind, metadata: { name: 'lab' }, spec: {} }
      : { apiVersion: 'subcloud/v1', kind, spec: {} };
  const parts = path.split('.');
  let at = root;
  for (const [index, part] of parts.entries()) {
    const key = part.replace('[]', '');
    const last = index === parts.length - 1;
    if (part.endsWith('[]')) {
      const entry: Record<string, unknown> = { id: 'lab/small' };
      at[key] = [entry];
      at = entry;
    } else if (last) at[key] = value;
    else at = at[key] = (at[key] ?? {}) as Record<string, unknown>;
  }
  return root;
}
