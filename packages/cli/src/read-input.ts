import { readFileSync, statSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { CliError } from './cli-error.ts';

/** The text of a file, or of stdin where the name is `-`; at most `maxBytes`. Throws CliError. */
export async function readInput(name: string, stdin: Readable, maxBytes: number): Promise<string> {
  if (name === '-') return readStream(stdin, maxBytes);
  try {
    if (statSync(name).size > maxBytes) throw tooLarge(name, maxBytes);
    return readFileSync(name, 'utf8');
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError({
      code: 'client.unreadable_file',
      message: `${name} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      next: 'Check the path.',
      cause: error,
    });
  }
}

async function readStream(stdin: Readable, maxBytes: number): Promise<string> {
  const parts: Buffer[] = [];
  let heldBytes = 0;
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk as Uint8Array | string);
    heldBytes += bytes.byteLength;
    if (heldBytes > maxBytes) throw tooLarge('stdin', maxBytes);
    parts.push(bytes);
  }
  return Buffer.concat(parts).toString('utf8');
}

function tooLarge(name: string, maxBytes: number): CliError {
  return new CliError({
    code: 'client.too_large',
    message: `${name} is larger than ${maxBytes} bytes.`,
    next: 'Split it into several files.',
  });
}
