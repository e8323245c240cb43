/** Reads a backup: first whole, to know that it is one, then again, for its lines. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { BACKUP_VERSION, BackupError, type BackupHeader, backupEnd, backupHeader } from './backup-format.ts';

/** Far above the largest row; what is longer is no line of ours. */
const MAX_LINE_BYTES = 67_108_864;
const NEWLINE = 0x0a;
const OTHER_COPY = 'Use another copy.';

export interface VerifiedBackup {
  readonly header: BackupHeader;
  /** Lines before the last. */
  readonly lines: number;
}

/** Throws BackupError for what is not a whole backup of a version that this release reads. */
export async function verifyBackup(path: string): Promise<VerifiedBackup> {
  const hash = createHash('sha256');
  let header: BackupHeader | undefined;
  let last: string | undefined;
  let lines = 0;
  for await (const line of linesOf(path)) {
    header ??= headerOf(line, path);
    if (last !== undefined) {
      hash.update(last).update('\n');
      lines += 1;
    }
    last = line;
  }
  const end = parsed(backupEnd, last ?? '');
  if (header === undefined || end === undefined)
    throw new BackupError(`${path} is cut: it has no last line.`, OTHER_COPY);
  if (end.lines !== lines || end.sha256 !== hash.digest('hex'))
    throw new BackupError(`${path} is damaged: its content is not what was written.`, OTHER_COPY);
  return { header, lines };
}

function headerOf(line: string, path: string): BackupHeader {
  const version = parsed(backupHeader.pick({ format: true, version: true }).loose(), line)?.version;
  if (version === undefined) throw new BackupError(`${path} is no backup of a network.`, OTHER_COPY);
  const header = parsed(backupHeader, line);
  if (header === undefined || version !== BACKUP_VERSION)
    throw new BackupError(
      `${path} is a backup of version ${version}; this release reads version ${BACKUP_VERSION}.`,
      'Restore it with the release that made it, then upgrade.',
    );
  return header;
}

interface Parser<Value> {
  safeParse(value: unknown): { readonly success: boolean; readonly data?: Value | undefined };
}
function parsed<Value>(schema: Parser<Value>, line: string): Value | undefined {
  try {
    return schema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** The lines of a gzip file, one after the other; memory does not grow with the file. Throws BackupError for what is no gzip. */
export async function* linesOf(path: string): AsyncGenerator<string> {
  const source = createReadStream(path);
  const unzipped = source.pipe(createGunzip());
  source.on('error', (error) => unzipped.destroy(error));
  let held: Buffer[] = [];
  let heldBytes = 0;
  try {
    for await (const chunk of unzipped as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
        const piece = chunk.subarray(start, end);
        yield held.length === 0 ? piece.toString('utf8') : Buffer.concat([...held, piece]).toString('utf8');
        held = [];
        heldBytes = 0;
        start = end + 1;
      }
      if (start === chunk.byteLength) continue;
      held.push(chunk.subarray(start));
      heldBytes += chunk.byteLength - start;
      if (heldBytes > MAX_LINE_BYTES) throw new BackupError(`${path} has a line without an end.`, OTHER_COPY);
    }
  } catch (error) {
    if (error instanceof BackupError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new BackupError(`${path} cannot be read: ${why}.`, OTHER_COPY, error);
  }
  if (heldBytes > 0) throw new BackupError(`${path} is cut in the middle of a line.`, OTHER_COPY);
}
