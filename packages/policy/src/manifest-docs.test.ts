import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parseManifest } from './parse-manifest.ts';
import { runPolicyTests } from './policy-tests.ts';

it('the manifest of the documentation is accepted, and its tests hold', () => {
  const page = readFileSync(new URL('../../../docs/manifest.md', import.meta.url), 'utf8');
  const [, text = ''] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
  const parsed = parseManifest(text);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  expect(parsed.kind).toBe('Subcloud');
  const results = runPolicyTests(parsed.manifest.spec, { owner: 'org:acme' });
  expect(results.map(({ name, message }) => `${name}: ${message}`)).toEqual(['a Hungarian node stays out: holds']);
});
