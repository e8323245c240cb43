import { readFileSync } from 'node:fs';
import { ACTIONS } from '@subcloud/contract/routes/actions';
import { expect, test } from 'vitest';
import { accessPage, accessPagePath } from './generate-access-page.ts';

test('docs/access.md is what the table of rights prints (npm run access)', () => {
  expect(readFileSync(accessPagePath, 'utf8')).toBe(accessPage());
});

test('the page has a row for every action', () => {
  const page = accessPage();
  expect(ACTIONS.filter((action) => !page.includes(`| \`${action}\` |`))).toEqual([]);
});
