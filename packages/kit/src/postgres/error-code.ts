/** True if `error` is a file system or process error of Node with one of these codes (`ENOENT`, `EACCES`, …). */
export function isErrorCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}
