/**
 * What one gateway's watch carries: a snapshot first, a line at a time as the gateway takes them, then what has happened
 * since, in order. A snapshot of any size holds up neither the loop nor the memory, and a gateway that reads too slowly is
 * cut: it comes back for a new one.
 */
import type { Writable } from 'node:stream';

/** Of what waits for a gateway to read: deltas behind a snapshot, and bytes in its socket. */
const MAX_WAITING_BYTES = 64 * 1_048_576;

export interface WatchStream {
  /** Says the line after all that came before it. */
  send(line: string): void;
  /** Says it where nothing waits: a ping behind a snapshot would be no sign of life. */
  ping(line: string): void;
}

/**
 * `snapshot`: its lines; those of one version, whatever happens to the table meanwhile. `mayTell`: asked before each line;
 * where it is false the watch is cut.
 */
export function openWatchStream(
  to: Writable,
  snapshot: Iterator<string>,
  mayTell: () => boolean = () => true,
  maxWaitingBytes = MAX_WAITING_BYTES,
): WatchStream {
  let waiting: string[] | undefined = [];
  let waitingBytes = 0;
  const write = (line: string): void => {
    if (!mayTell()) return void to.destroy();
    to.write(line);
    if (to.writableLength > maxWaitingBytes) to.destroy();
  };
  const pump = (): void => {
    for (let next = snapshot.next(); next.done !== true; next = snapshot.next()) {
      if (to.destroyed) return;
      if (!mayTell()) return void to.destroy();
      if (to.write(next.value)) continue;
      to.once('drain', pump);
      return;
    }
    const since = waiting ?? [];
    waiting = undefined;
    for (const line of since) write(line);
  };
  pump();
  return {
    send(line) {
      if (waiting === undefined) return write(line);
      waiting.push(line);
      waitingBytes += line.length;
      if (waitingBytes > maxWaitingBytes) to.destroy();
    },
    ping(line) {
      if (waiting === undefined) write(line);
    },
  };
}
