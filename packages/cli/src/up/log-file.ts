import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** A log of bounded size: when it is full it becomes `FILE.1`, in place of the one that stood there. */
export interface LogFile {
  readonly path: string;
  /** One line, with or without its newline. Never throws: a full disk must not end the network. */
  line(text: string): void;
  close(): void;
}

export const MAX_LOG_BYTES = 10_485_760;

export function openLogFile(path: string, maxBytes: number = MAX_LOG_BYTES): LogFile {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  let file: number | undefined = openSync(path, 'a', 0o600);
  let sizeBytes = fstatSync(file).size;
  const rotate = (): void => {
    if (file !== undefined) closeSync(file);
    file = undefined;
    renameSync(path, `${path}.1`);
    file = openSync(path, 'a', 0o600);
    sizeBytes = 0;
  };
  return {
    path,
    line(text) {
      const bytes = Buffer.from(text.endsWith('\n') ? text : `${text}\n`);
      try {
        if (sizeBytes > 0 && sizeBytes + bytes.byteLength > maxBytes) rotate();
        if (file === undefined) return;
        sizeBytes += bytes.byteLength;
        writeSync(file, bytes);
      } catch {
        // What could not be logged is lost; there is nowhere else to say so.
      }
    },
    close() {
      if (file !== undefined) closeSync(file);
      file = undefined;
    },
  };
}
