import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { type AuditLine, parseAuditLine } from '@subcloud/sdk/audit-log';
import { CliError } from './cli-error.ts';

/** Throws CliError for a file that is no export, or that was cut. */
export async function* auditOfFile(path: string): AsyncGenerator<AuditLine> {
  let number = 0;
  let kind: AuditLine['kind'] | undefined;
  const lines = createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY });
  try {
    for await (const text of lines) {
      number += 1;
      const line = parseAuditLine(text);
      if (line === undefined || (line.kind === 'log') !== (number === 1) || kind === 'end')
        throw notAnExport(`line ${number} of ${path} is not of an audit export`);
      kind = line.kind;
      yield line;
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw notAnExport(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (kind !== 'end') throw notAnExport(`${path} ends after line ${number}, before the end of the log`);
}

function notAnExport(what: string): CliError {
  return new CliError({
    code: 'client.not_an_export',
    message: `${what}.`,
    next: 'Give a whole file that `subcloud audit export` wrote.',
  });
}
