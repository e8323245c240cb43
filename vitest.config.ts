import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { LongTestsFirst } from './tools/long-tests-first.ts';

const seedsPath = fileURLToPath(new URL('./packages/testkit/src/vitest-property-seeds.ts', import.meta.url));
const globalSetupPath = fileURLToPath(new URL('./packages/testkit/src/vitest-global-setup.ts', import.meta.url));

/** Every test of the repository in one run, so that one closing line counts them all. */
export default defineConfig({
  test: {
    include: [
      'packages/*/src/**/*.test.ts',
      'demo-engine/src/**/*.test.ts',
      'tools/**/*.test.ts',
      'tests/**/*.test.ts',
    ],
    // Processes, not threads: a test may end or break its process without taking the run along.
    pool: 'forks',
    // The PostgreSQL of the tests needs the rest of the machine; two workers fill two cores.
    maxWorkers: 2,
    sequence: { sequencer: LongTestsFirst },
    // Only what hangs: how long a test takes on a busy machine decides nothing.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 20_000,
    // A forgotten `.only` would turn the whole gate green.
    allowOnly: false,
    reporters: ['default', './tools/closing-line-reporter.ts'],
    setupFiles: [seedsPath],
    globalSetup: existsSync(globalSetupPath) ? [globalSetupPath] : [],
  },
});
