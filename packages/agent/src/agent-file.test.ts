import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseAgentFile } from './agent-file.ts';

function faultsOf(text: string): readonly string[] {
  const parsed = parseAgentFile(text);
  return parsed.ok ? [] : parsed.faults;
}

test('a whole file is read, with the defaults of what it leaves out', () => {
  const text = `
url: https://net.example:7700
name: gpu-1
engines:
  - url: http://127.0.0.1:11434
    models: { "llama3.1:8b": meta-llama/Llama-3.1-8B-Instruct }
  - { url: "http://127.0.0.1:8000/v1", apiKey: secret }
hardware: none
labels: { tier: gold }
location: { country: DE, subdivision: DE-BY }
consent:
  autoJoin: { owners: [org:acme] }
  isolation: isolate
concurrency: 32
`;
  expect(parseAgentFile(text)).toEqual({
    ok: true,
    file: {
      url: 'https://net.example:7700',
      name: 'gpu-1',
      engines: [
        { url: 'http://127.0.0.1:11434', models: { 'llama3.1:8b': 'meta-llama/Llama-3.1-8B-Instruct' } },
        { url: 'http://127.0.0.1:8000/v1', apiKey: 'secret', models: {} },
      ],
      hardware: 'none',
      labels: { tier: 'gold' },
      location: { country: 'DE', subdivision: 'DE-BY' },
      consent: { global: true, autoJoin: { owners: ['org:acme'] }, isolation: 'isolate', join: [] },
      concurrency: 32,
    },
  });
  expect(parseAgentFile('')).toEqual({ ok: true, file: {} });
  expect(parseAgentFile('engines: auto')).toEqual({ ok: true, file: { engines: 'auto' } });
});

test.for([
  ['name: a\nlabls:\n  tier: gold\n', 'line 2, the key "labls" is not known here; did you mean labels?'],
  [
    'consent:\n  global: true\n  isolaton: isolate\n',
    'line 3, consent: the key "isolaton" is not known here; did you mean isolation?',
  ],
  ['name: a\nconcurrency: many\n', 'line 2, concurrency: '],
  [
    'engines:\n  - url: http://127.0.0.1:1\n  - url: ftp://127.0.0.1\n',
    'line 3, engines.1.url: must be an http:// or https:// URL',
  ],
  ['engines: http://127.0.0.1:1\n', 'line 1, engines: must be `auto` or a list of engines'],
  ['hardware: h100\n', 'line 1, hardware: must be `auto` or `none`'],
  ['location:\n  country: Germany\n', 'line 2, location.country: must be an ISO 3166-1 country'],
  ['name: a\nname: b\n', 'line 2, Map keys must be unique'],
  ['consent:\n  autoJoin:\n    owners:\n      - acme\n', 'line 4, consent.autoJoin.owners.0: must be user:ID'],
  ['url: http://user:pass@host\n', 'line 1, url: must have no credentials'],
] as const)('%j is refused with path and line', ([text, fault]) => {
  expect(faultsOf(text)).toHaveLength(1);
  expect(faultsOf(text)[0]).toContain(fault);
});

test('all faults are told at once', () => {
  expect(faultsOf('nam: a\nconcurrency: 0\nlabels: [1]\n')).toHaveLength(3);
});

test('no text at all makes it throw, and an alias bomb is a fault', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(typeof parseAgentFile(text).ok).toBe('boolean');
    }),
  );
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghi'
    .split('')
    .map((key, index) => `${key}: &${key} [${Array(9).fill(`*${'abcdefgh'[index]}`).join(',')}]`)
    .join('\n')}`;
  expect(faultsOf(bomb).length).toBeGreaterThan(0);
});
