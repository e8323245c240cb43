/** Questions to whoever sits at the terminal. */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { CliError } from './cli-error.ts';
import type { CliHost } from './cli-host.ts';
import { readInput } from './read-input.ts';

const MAX_SECRET_BYTES = 4_096;

/** What is typed does not show. Throws CliError where nobody sits there. */
export async function askSecret(host: CliHost, question: string, flag: string): Promise<string> {
  if (!isTerminal(host))
    throw new CliError({
      code: 'client.no_terminal',
      message: `${question} is asked for, and there is no terminal to ask at.`,
      next: `Pass it on stdin, with ${flag}.`,
    });
  host.stderr.write(`${question}: `);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: host.stdin, output: silent, terminal: true });
  try {
    return await lines.question('');
  } finally {
    lines.close();
    host.stderr.write('\n');
  }
}

/** The first line of stdin. */
export async function secretFromStdin(host: CliHost): Promise<string> {
  return (await readInput('-', host.stdin, MAX_SECRET_BYTES)).split(/\r?\n/)[0] ?? '';
}

function isTerminal(host: CliHost): boolean {
  return 'isTTY' in host.stdin && host.stdin.isTTY === true;
}
