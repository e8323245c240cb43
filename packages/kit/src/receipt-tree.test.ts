import { hash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rootFrom, treePaths, treeRoot } from './receipt-tree.ts';

const leaves = fc.array(fc.string({ maxLength: 20 }), { minLength: 1, maxLength: 70 });

test('the root of the tree that RFC 6962 draws', () => {
  const leaf = (text: string): Buffer => hash('sha256', Buffer.concat([Buffer.of(0), Buffer.from(text)]), 'buffer');
  const inner = (left: Buffer, right: Buffer): Buffer =>
    hash('sha256', Buffer.concat([Buffer.of(1), left, right]), 'buffer');
  const [a, b, c, d, e, f, j] = ['d0', 'd1', 'd2', 'd3', 'd4', 'd5', 'd6'].map(leaf);
  if (!a || !b || !c || !d || !e || !f || !j) throw new Error('seven leaves');
  const root = inner(inner(inner(a, b), inner(c, d)), inner(inner(e, f), j));
  expect(treeRoot(['d0', 'd1', 'd2', 'd3', 'd4', 'd5', 'd6'])).toBe(root.toString('hex'));
});

describe('of any batch', () => {
  test('each leaf leads to the root by its path, and to no other place', () => {
    fc.assert(
      fc.property(leaves, fc.nat(), (texts, drawn) => {
        const [root, paths] = [treeRoot(texts), treePaths(texts)];
        for (const [index, text] of texts.entries()) {
          expect(rootFrom(text, index, texts.length, paths[index] ?? [])).toBe(root);
        }
        const index = drawn % texts.length;
        const path = paths[index] ?? [];
        const text = texts[index] ?? '';
        expect(rootFrom(`${text}!`, index, texts.length, path)).not.toBe(root);
        expect(rootFrom(text, texts.length, texts.length, path)).toBeUndefined();
        if (path.length > 0) {
          expect(rootFrom(text, index, texts.length, path.slice(1))).not.toBe(root);
          expect(rootFrom(text, index, texts.length, [...path, root])).not.toBe(root);
          const other = texts.findIndex((one, at) => at !== index && one !== text);
          if (other !== -1) expect(rootFrom(texts[other] ?? '', index, texts.length, path)).not.toBe(root);
        }
      }),
      { numRuns: 300 },
    );
  });
});

test('a hash beside the way that is no SHA-256 leads to no root', () => {
  const leaves = ['a', 'b', 'c'];
  const [path] = treePaths(leaves);
  const [first = '', ...rest] = path ?? [];
  expect(rootFrom('a', 0, 3, [first, ...rest])).toBe(treeRoot(leaves));
  for (const beside of ['', 'zz', first.slice(2), `${first}00`, first.slice(0, 62)])
    expect(rootFrom('a', 0, 3, [beside, ...rest])).toBeUndefined();
});
