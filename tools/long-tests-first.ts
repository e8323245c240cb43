import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Test files that take minutes whatever the machine is. On a fresh clone files are started by size, which tells nothing of
 * them: begun last, one of these would keep the whole run waiting while the other workers idle.
 */
export const LONG_TESTS: readonly string[] = ['tests/soak/soak.test.ts'];

export class LongTestsFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return longFirst(await super.sort(files), ({ moduleId }) => moduleId);
  }
}

/** The long ones in their own order, then all others in the order that they had. */
export function longFirst<File>(files: readonly File[], pathOf: (file: File) => string): File[] {
  const rank = (file: File): number => LONG_TESTS.findIndex((path) => pathOf(file).endsWith(`/${path}`));
  const long = files.filter((file) => rank(file) !== -1).toSorted((a, b) => rank(a) - rank(b));
  return [...long, ...files.filter((file) => rank(file) === -1)];
}
