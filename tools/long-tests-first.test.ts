import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import config from '../vitest.config.ts';
import { LONG_TESTS, LongTestsFirst, longFirst } from './long-tests-first.ts';

test('long files begin first, and the others keep their order', () => {
  const [long = ''] = LONG_TESTS;
  const files = ['/x/b.test.ts', '/x/a.test.ts', `/x/${long}`, '/x/c.test.ts', `/x/other-${long.split('/').at(-1)}`];
  expect(longFirst(files, (path) => path)).toEqual([files[2], files[0], files[1], files[3], files[4]]);
});

test('each long file is there, and the run goes by it', () => {
  for (const path of LONG_TESTS) expect(existsSync(fileURLToPath(new URL(`../${path}`, import.meta.url)))).toBe(true);
  expect(config.test?.sequence?.sequencer).toBe(LongTestsFirst);
});
