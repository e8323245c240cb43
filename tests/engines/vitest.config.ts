import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Apart from the gate: it needs a server that not every machine has. */
export default defineConfig({
  root,
  test: {
    include: ['tests/engines/*-suite.ts'],
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    allowOnly: false,
    reporters: ['default', './tools/closing-line-reporter.ts'],
    globalSetup: ['packages/testkit/src/vitest-global-setup.ts'],
  },
});
