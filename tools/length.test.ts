import { expect, test } from 'vitest';
import { lengthAllowances } from './length-allowances.ts';
import { lengthFaults, overlongParts } from './length.ts';
import { readTypeScript } from './source-tree.ts';

test('files and functions are within the limits, or listed with a reason', () => {
  expect(lengthFaults(readTypeScript(), lengthAllowances)).toEqual([]);
});

const body = (lines: number): string => 'go();\n'.repeat(lines);
const path = 'packages/control/src/a.ts';

test('the first line too many makes a file too long', () => {
  expect(overlongParts({ path, text: body(400) })).toEqual([]);
  expect(overlongParts({ path, text: body(401) })).toEqual([{ key: path, lines: 401, maxLines: 400 }]);
});

test.each([
  ['a declaration', `function long() {\n${body(119)}}`],
  ['an arrow function', `const long = async () => {\n${body(119)}};`],
  ['a method', `class A {\nlong() {\n${body(119)}}\n}`],
  ['a property', `const a = { long: function () {\n${body(119)}} };`],
])('%s of 121 lines is too long, under its own name', (_, text) => {
  expect(overlongParts({ path, text })).toEqual([{ key: `${path}#long`, lines: 121, maxLines: 120 }]);
});

test('a function of 120 lines fits', () => {
  expect(overlongParts({ path, text: `function long() {\n${body(118)}}` })).toEqual([]);
});

test('describe may be long, a test in it may not', () => {
  const text = `describe.each([1])('all', () => {\n${body(130)}test('one', () => {\n${body(130)}});\n});`;
  expect(overlongParts({ path: 'packages/control/src/a.test.ts', text })).toEqual([
    { key: 'packages/control/src/a.test.ts#line-132', lines: 132, maxLines: 120 },
  ]);
});

test('an allowance needs a reason and a need', () => {
  const file = { path, text: body(401) };
  expect(lengthFaults([file], { [path]: 'a table that is read from top to bottom' })).toEqual([]);
  expect(lengthFaults([file], { [path]: ' ' })).toEqual([expect.stringContaining('401 lines')]);
  expect(lengthFaults([], { [path]: 'a table' })).toEqual([expect.stringContaining('drop its allowance')]);
});
