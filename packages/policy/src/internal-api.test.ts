import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { compilePolicy, decide } from './decide.ts';
import { type DeclaredApi, apisClause, cleanTarget, declares } from './internal-api.ts';
import { GLOBAL_SPEC } from './manifest.ts';

const RAG: DeclaredApi = { name: 'rag', methods: ['GET', 'POST'], paths: ['/search', '/documents/*', '/files/**'] };

describe('a path that has two readings is none', () => {
  it.each([
    '/..',
    '/documents/../admin',
    '/documents/.',
    '/documents/%2e%2e/admin',
    '/documents/%2E%2e',
    '/documents/a%2fb',
    '/documents/a%2Fb',
    '/documents/a%5cb',
    '/documents/a%5Cb',
    '/documents/%252e',
    '/documents//x',
    '//search',
    '/search%00',
    '/search%0d%0a',
    '/search\\x',
    '/search x',
    '/search#x',
    '/séarch',
    '/search%',
    '/search%2',
    '/search%zz',
    'search',
    '',
    `/${'x'.repeat(5_000)}`,
    '/search?a=\r\n',
    '/search?q=%z',
  ])('%j', (target) => expect(cleanTarget(target)).toBeUndefined());

  test('what is clean says the same to every reader that resolves and decodes', () => {
    const part = fc.constantFrom('a', '.', '..', '%2e', '%2F', '%41', '', 'b-c', '%20', '%25', '~', ';x', '%c3%a9');
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
        const target = `/${parts.join('/')}`;
        const clean = cleanTarget(target);
        if (clean === undefined) return;
        expect(new URL(target, 'http://h').pathname).toBe(target);
        const decoded = decodeURIComponent(target);
        expect(decoded.split('/').length).toBe(target.split('/').length);
        expect(decoded.split('/').some((one) => one === '.' || one === '..')).toBe(false);
        expect(decodeURIComponent(decoded)).toBe(decoded);
      }),
    );
  });
});

test('methods and paths are those that are declared, and no others', () => {
  const allowed = ['/search', '/documents/7', '/documents/a%20b', '/files/a', '/files/a/b/c'];
  const refused = ['/', '/searches', '/search/', '/documents', '/documents/', '/documents/7/8', '/files', '/Search'];
  for (const path of allowed) expect([path, declares(RAG, 'GET', path)]).toEqual([path, true]);
  for (const path of refused) expect([path, declares(RAG, 'GET', path)]).toEqual([path, false]);
  for (const method of ['DELETE', 'get', 'OPTIONS', 'CONNECT']) expect(declares(RAG, method, '/search')).toBe(false);
});

test.each([
  [{ ...RAG, paths: ['search'] }],
  [{ ...RAG, paths: ['/a/../b'] }],
  [{ ...RAG, paths: ['/a%2fb'] }],
  [{ ...RAG, paths: ['/**/a'] }],
  [{ ...RAG, methods: ['TRACE'] }],
  [{ ...RAG, methods: [] }],
  [{ ...RAG, name: 'Rag' }],
])('a declaration that could mean two things is refused: %j', (api) => {
  expect(apisClause.safeParse([api]).success).toBe(false);
  expect(apisClause.safeParse([RAG, RAG]).success).toBe(false);
});

describe('a node that hosts an API', () => {
  const model = (id: string) => ({ id, digest: null, quantization: null, modalities: null, contextLength: null });
  const decided = (ids: readonly string[], spec: object) =>
    decide(
      compilePolicy({ ...GLOBAL_SPEC, ...spec }),
      {
        nodeId: 'nod_1',
        operator: 'user:a',
        lastSeenAt: null,
        claims: [
          {
            id: 'c',
            fact: 'models',
            value: ids.map(model),
            source: 'declared',
            issuer: 'node:nod_1',
            issuedAt: 0,
            confirmedAt: 0,
            expiresAt: 1_000,
          },
        ],
      },
      1,
    );
  const models = { dedicated: false, private: false };

  test.each([
    ['is eligible for it where the manifest names it', ['api:rag'], { apis: [RAG] }, ['api:rag']],
    ['is nothing where it does not', ['api:rag'], {}, []],
    ['is nothing for another one', ['api:other'], { apis: [RAG] }, []],
    ['serves models beside it', ['api:rag', 'm'], { apis: [RAG] }, ['m', 'api:rag']],
    ['serves models alone where the manifest names no API', ['api:rag', 'm'], {}, ['m']],
    [
      'needs none of the allowed models',
      ['api:rag', 'm'],
      { apis: [RAG], models: { ...models, allow: [{ id: 'x' }] } },
      ['api:rag'],
    ],
    [
      'has its API left alone by `dedicated`',
      ['api:rag', 'x'],
      { apis: [RAG], models: { ...models, dedicated: true, allow: [{ id: 'x' }] } },
      ['x', 'api:rag'],
    ],
    [
      'is out by `dedicated` for another model',
      ['api:rag', 'm'],
      { apis: [RAG], models: { ...models, dedicated: true, allow: [{ id: 'x' }] } },
      [],
    ],
    ['is no model of a glob', ['api:rag'], { models: { ...models, allow: [{ id: '*' }] } }, []],
  ] as const)('%s', (_what, ids, spec, wanted) => {
    const { eligible, models: served, clauses } = decided(ids, spec);
    expect([eligible, served]).toEqual([wanted.length > 0, wanted]);
    expect(clauses.every(({ pass }) => pass)).toBe(eligible);
  });
});
