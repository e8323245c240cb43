/**
 * Files and functions that may be longer than the limits, with the reason why splitting them would make them harder to
 * read. A key is a path, or `path#function`. An entry that is no longer needed fails the check.
 */
export const lengthAllowances: Readonly<Record<string, string>> = {
  'packages/contract/src/errors.ts': 'one list of codes, read from top to bottom',
  'packages/contract/src/routes/control.ts': 'one table of routes, read from top to bottom',
  'tests/network/every-write.ts#everyWrite': 'one case a route, read from top to bottom',
};
