/**
 * JSON lines over a byte stream, bounded: a line that is too long, not JSON or not UTF-8 ends the reading with an error
 * and nothing after it is believed.
 */
export interface JsonLineReader {
  /** Feeds bytes; calls `onLine` for every whole line, in order. Throws JsonLineError; after that, ignore the peer. */
  push(chunk: Uint8Array): void;
}

export class JsonLineError extends Error {
  override readonly name = 'JsonLineError';
}

const NEWLINE = 10;

export function jsonLineReader(options: {
  readonly maxLineBytes: number;
  readonly onLine: (value: unknown) => void;
}): JsonLineReader {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let parts: Uint8Array[] = [];
  let heldBytes = 0;
  let broken = false;
  const fail = (message: string): never => {
    broken = true;
    parts = [];
    throw new JsonLineError(message);
  };
  const hold = (bytes: Uint8Array): void => {
    if (heldBytes + bytes.byteLength > options.maxLineBytes)
      fail(`a line is longer than ${options.maxLineBytes} bytes`);
    parts.push(bytes);
    heldBytes += bytes.byteLength;
  };
  return {
    push(chunk) {
      if (broken) throw new JsonLineError('the stream broke before');
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
        hold(chunk.subarray(start, end));
        const line = parts.length === 1 ? (parts[0] ?? new Uint8Array()) : Buffer.concat(parts, heldBytes);
        parts = [];
        heldBytes = 0;
        start = end + 1;
        if (line.byteLength === 0) continue;
        let value: unknown;
        try {
          value = JSON.parse(decoder.decode(line));
        } catch {
          fail('a line is not JSON in UTF-8');
        }
        options.onLine(value);
      }
      if (start < chunk.byteLength) hold(Uint8Array.from(chunk.subarray(start)));
    },
  };
}

export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}
