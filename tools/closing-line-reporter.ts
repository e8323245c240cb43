import type { Reporter, SerializedError, TestModule, TestRunEndReason } from 'vitest/node';

/** What the closing line says. */
export interface RunCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/**
 * Prints `N passed, N failed` (and `, N skipped`) as the last line of a run, and sees to it that this line and the exit
 * code agree. It speaks when the process exits, because global teardown still prints, and can still fail, after the
 * last test. A run that ends without a result counts as failed, and code that ends
 * the process with 0 after a failure does not get its way.
 */
export class ClosingLineReporter implements Reporter {
  #counts: RunCounts | null = null;

  onInit(): void {
    process.once('exit', (exitCode) => {
      const counts = settleCounts(this.#counts, exitCode);
      if (counts.failed > 0 && exitCode === 0) process.exitCode = 1;
      process.stdout.write(`${closingLine(counts)}\n`);
    });
  }

  onTestRunEnd(
    modules: readonly TestModule[],
    unhandledErrors: readonly SerializedError[],
    reason: TestRunEndReason,
  ): void {
    this.#counts = countRun(modules, unhandledErrors, reason);
  }
}

/** The line for these counts, without a line break. */
export function closingLine(counts: RunCounts): string {
  const skipped = counts.skipped === 0 ? '' : `, ${counts.skipped} skipped`;
  return `${counts.passed} passed, ${counts.failed} failed${skipped}`;
}

/**
 * The counts that agree with how the process ends: a non-zero exit code without a failed test is one failure (global
 * set-up or teardown, no tests found), and so is a run that never came to its end.
 */
export function settleCounts(counts: RunCounts | null, exitCode: number): RunCounts {
  if (counts === null) return { passed: 0, failed: 1, skipped: 0 };
  return counts.failed === 0 && exitCode !== 0 ? { ...counts, failed: 1 } : counts;
}

function countRun(
  modules: readonly TestModule[],
  unhandledErrors: readonly SerializedError[],
  reason: TestRunEndReason,
): RunCounts {
  let passed = 0;
  let skipped = 0;
  let failed = unhandledErrors.length;
  for (const module of modules) {
    // A file that did not load has no tests: its own errors are all that is left of it.
    failed += module.errors().length;
    for (const suite of module.children.allSuites()) failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') passed += 1;
      else if (state === 'skipped') skipped += 1;
      else failed += 1;
    }
  }
  if (reason !== 'passed' && failed === 0) failed = 1;
  return { passed, failed, skipped };
}

// Reporters are loaded by path, and the loader asks for a default export.
// oxlint-disable-next-line import/no-default-export
export default ClosingLineReporter;
