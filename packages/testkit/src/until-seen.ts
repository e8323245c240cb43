/** More of the same property before what was not seen yet counts as out of reach. */
const MOST_ROUNDS = 25;

/**
 * Runs a random property until all that it must have come to has been seen, and says what it never came to.
 *
 * A random run that never reached a state has shown nothing about it, so each property names what it must reach. But
 * what is rare is missed by one run in many, without a fault anywhere: then the same property runs again, with other
 * draws, before the absence counts.
 *
 * @param round runs the property once, with its usual number of draws.
 * @param missing what has not been seen in all rounds so far.
 * @returns what was missing after the last round: empty unless something is out of reach.
 */
export async function untilSeen(
  round: () => void | Promise<void>,
  missing: () => readonly string[],
): Promise<readonly string[]> {
  for (let rounds = 0; rounds < MOST_ROUNDS; rounds += 1) {
    await round();
    if (missing().length === 0) return [];
  }
  return missing();
}

/** What of `wanted` is not in `seen`. */
export function unseen(wanted: readonly string[], seen: ReadonlySet<string>): readonly string[] {
  return wanted.filter((one) => !seen.has(one));
}
