/**
 * Which node served, told to a caller: stable in one pool, so that answers can be compared, and without a link to the
 * node's name in any other, since pool ids are not public. The text whose SHA-256 the pseudonym begins with.
 */
export function pseudonymText(poolId: string, node: string): string {
  return `subcloud/v1/pseudonym\n${poolId}\n${node}`;
}

/** From the SHA-256 of `pseudonymText`, hex. */
export function pseudonymFrom(sha256Hex: string): string {
  return `n-${sha256Hex.slice(0, 16)}`;
}
