import { fstatSync } from 'node:fs';
import type { Server } from 'node:http';

/** Answers in progress get this long to end. */
const drainMs = 10_000;

/** Aborts on SIGTERM and SIGINT, and when the process that started us is gone. */
export function endOfLife(): AbortSignal {
  const end = new AbortController();
  const stop = () => end.abort();
  process.once('SIGTERM', stop).once('SIGINT', stop).once('disconnect', stop);
  // A pipe on stdin ends with its writer, however that ends. A terminal or /dev/null says nothing about anybody.
  const stdin = fstatSync(0);
  if (stdin.isFIFO() || stdin.isSocket()) {
    process.stdin.once('end', stop).once('close', stop).once('error', stop).resume();
    end.signal.addEventListener('abort', () => process.stdin.destroy());
  }
  return end.signal;
}

/** Takes no new requests, lets those in progress end, and cuts what is left after a time. */
export async function drain(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
  const limit = AbortSignal.timeout(drainMs);
  limit.addEventListener('abort', () => server.closeAllConnections());
  await closed;
}
