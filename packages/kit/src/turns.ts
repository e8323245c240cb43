/** Long work on bytes in pieces, with everything else that waits in between: one request must not hold up the others. */

/** Bytes that are copied at once; touching fresh memory costs more than the copy. */
const BYTES_A_TURN = 1_048_576;

/** Resolves after what the event loop has ready now. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Buffer.concat, giving way after each BYTES_A_TURN; at once, and without a copy where there is one chunk, below that. */
export async function joinInTurns(chunks: readonly Buffer[], totalBytes: number): Promise<Buffer> {
  const [first] = chunks;
  if (chunks.length === 1 && first !== undefined) return first;
  if (totalBytes <= BYTES_A_TURN) return Buffer.concat(chunks, totalBytes);
  const joined = Buffer.allocUnsafeSlow(totalBytes);
  let at = 0;
  let copiedBytes = 0;
  for (const chunk of chunks) {
    for (let from = 0; from < chunk.byteLength; from += BYTES_A_TURN) {
      const copied = chunk.copy(joined, at, from, Math.min(chunk.byteLength, from + BYTES_A_TURN));
      at += copied;
      copiedBytes += copied;
      if (copiedBytes < BYTES_A_TURN) continue;
      copiedBytes = 0;
      await nextTurn();
    }
  }
  return joined;
}
