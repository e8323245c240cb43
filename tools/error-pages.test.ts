import { ERROR_CODES } from '@subcloud/contract/errors';
import { expect, test } from 'vitest';
import { errorPages, errorPagesFolder, pageFaults, readPages } from './generate-error-pages.ts';

test('docs/errors has the page that each error code asks for, and no other', () => {
  expect(Object.keys(ERROR_CODES).length).toBeGreaterThan(0);
  expect(pageFaults(errorPages(ERROR_CODES), readPages(errorPagesFolder))).toEqual([]);
});

test('a code is <owner>.<specific> in lower case, and its status is one of an error', () => {
  const odd = Object.entries(ERROR_CODES).filter(
    ([name, code]) => !/^[a-z]+\.[a-z]+(_[a-z]+)*$/.test(name) || code.status < 400 || code.status > 599,
  );
  expect(odd).toEqual([]);
});

const code = { status: 400, type: 'invalid_request_error', summary: 'It is wrong.', advice: 'Correct it.' } as const;

test('a missing, a differing and an orphaned page are each named', () => {
  const wanted = errorPages({ 'client.wrong': code, 'client.odd': code });
  expect(pageFaults(wanted, wanted)).toEqual([]);
  const { 'client.odd.md': _, ...rest } = { ...wanted };
  const found = { ...rest, 'client.wrong.md': 'old', 'client.gone.md': 'gone' };
  expect(pageFaults(wanted, found)).toEqual([
    expect.stringContaining('client.odd.md is missing'),
    expect.stringContaining('client.wrong.md does not say'),
    expect.stringContaining('client.gone.md is about no error code'),
  ]);
});

test('a page shows the status, the type, the summary and the advice', () => {
  const page = errorPages({ 'client.wrong': code })['client.wrong.md'];
  for (const part of ['client.wrong', '400', 'invalid_request_error', 'It is wrong.', 'Correct it.']) {
    expect(page).toContain(part);
  }
});

test('a code with an owner that nobody described is refused', () => {
  expect(() => errorPages({ 'nobody.wrong': code })).toThrow('nobody');
});
