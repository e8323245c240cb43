import type { Readable } from 'node:stream';

/** Calls `onLine` for every line of a stream; of one that is longer only the beginning is kept. */
export function readLines(stream: Readable, maxLength: number, onLine: (line: string) => void): void {
  let held = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    const lines = chunk.split('\n');
    const rest = lines.pop() ?? '';
    for (const line of lines) {
      onLine((held + line).slice(0, maxLength));
      held = '';
    }
    if (held.length < maxLength) held = (held + rest).slice(0, maxLength);
  });
  stream.on('end', () => {
    if (held !== '') onLine(held);
    held = '';
  });
  // A pipe that breaks is told by the exit of the process behind it.
  stream.on('error', () => undefined);
}
