/**
 * A copy of the audit log beside the database, as it grows: what was done after the last backup is known from it when the
 * database is lost. A change is answered only after its entry is in the file and synced. Where the file cannot be written
 * the network goes on and says so: the entry is in the database.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { AUDIT_START, type AuditEntry, auditEntry, chainedText } from '@subcloud/contract/audit';
import type { Log } from '@subcloud/kit/log';
import * as z from 'zod';
import type { Database } from '../store/database.ts';
import { BackupError } from './backup-format.ts';

const ENTRIES_A_READ = 1_000;

const mirrored = z.strictObject({ sequence: z.int().positive(), hash: z.string().length(64), entry: z.string() });

export interface AuditMirror {
  /** Resolves when every entry that is committed now is in the file, or when that failed and was said. Never rejects. */
  caughtUp(): Promise<void>;
  close(): Promise<void>;
}

export async function openAuditMirror(options: {
  readonly path: string;
  readonly db: Database;
  readonly log: Log;
}): Promise<AuditMirror> {
  const { path, db, log } = options;
  let file: FileHandle | undefined;
  let last: number | undefined;
  let running: Promise<void> | undefined;
  let again: Promise<void> | undefined;

  const copy = async (): Promise<void> => {
    try {
      if (file === undefined || last === undefined) {
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        last = await lastSequence(path);
        file = await open(path, 'a', 0o600);
      }
      for (;;) {
        const rows = await db
          .selectFrom('audit')
          .select(['sequence', 'hash', 'entry'])
          .where('sequence', '>', last)
          .orderBy('sequence')
          .limit(ENTRIES_A_READ)
          .execute();
        if (rows.length === 0) return;
        await file.appendFile(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
        await file.datasync();
        last = rows.at(-1)?.sequence ?? last;
      }
    } catch (error) {
      // What was half written is found out at the next try, which reads the file again.
      await file?.close().catch(() => undefined);
      file = undefined;
      log.error({ err: error, path }, 'the copy of the audit log cannot be written; the log itself is in the database');
    }
  };
  const run = (): Promise<void> => {
    running = copy().finally(() => (running = undefined));
    return running;
  };
  return {
    // An entry that was committed while a copy was under way may have come too late for it; the next one has it.
    caughtUp() {
      if (running === undefined) return run();
      again ??= running.then(() => {
        again = undefined;
        return run();
      });
      return again;
    },
    async close() {
      await running;
      await file?.close();
    },
  };
}

/** Also cuts off a line that a crash left half written. */
async function lastSequence(path: string): Promise<number> {
  const file = await open(path, 'a+', 0o600);
  try {
    const { size } = await file.stat();
    if (size === 0) return 0;
    const whole = (await wholeLines(file, size)) ?? { bytes: 0, line: undefined };
    if (whole.bytes < size) await file.truncate(whole.bytes);
    return whole.line === undefined ? 0 : mirrored.parse(JSON.parse(whole.line)).sequence;
  } finally {
    await file.close();
  }
}

/** The last whole line of a file and where it ends; reads from the end. */
async function wholeLines(file: FileHandle, size: number): Promise<{ bytes: number; line: string } | undefined> {
  // An entry is at most 64 KiB of text, twice that when escaped; two of them are always inside.
  const span = Math.min(size, 524_288);
  const { buffer } = await file.read(Buffer.alloc(span), 0, span, size - span);
  const end = buffer.lastIndexOf(0x0a);
  if (end === -1) return undefined;
  const start = buffer.lastIndexOf(0x0a, end - 1) + 1;
  return { bytes: size - span + end + 1, line: buffer.toString('utf8', start, end) };
}

export interface MirroredEntry {
  readonly sequence: number;
  readonly entry: AuditEntry;
}

/**
 * The entries after `sequence`, whose own hash is `hash`: each is proved to follow from the one before. Throws BackupError
 * where the file is of another history, has a gap or was edited. A half line at its end was never acknowledged.
 */
export async function entriesAfter(path: string, sequence: number, hash: string): Promise<MirroredEntry[]> {
  const found: MirroredEntry[] = [];
  let next = sequence + 1;
  let previous = sequence === 0 ? AUDIT_START : hash;
  let isFirst = true;
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    const row = readLine(line);
    if (row === undefined) break;
    if (row.sequence < sequence) continue;
    const disagrees = (): never => {
      throw new BackupError(
        `${path} does not fit the backup: its entry ${row.sequence} does not follow from the one before.`,
        'Give the copy of the audit log of the same network, or none (--no-mirror), and check every change since the backup by hand.',
      );
    };
    if (row.sequence === sequence) {
      if (row.hash !== hash) disagrees();
      isFirst = false;
      continue;
    }
    if (row.sequence !== next) disagrees();
    const own = createHash('sha256')
      .update(chainedText(row.sequence, previous, row.entry))
      .digest('hex');
    if (own !== row.hash) disagrees();
    isFirst = false;
    found.push({ sequence: row.sequence, entry: auditEntry.parse(JSON.parse(row.entry)) });
    previous = row.hash;
    next += 1;
  }
  if (isFirst && sequence > 0)
    throw new BackupError(
      `${path} ends before the backup was made: it is not the copy that this network kept.`,
      'Give the copy that it kept, or none (--no-mirror).',
    );
  return found;
}

function readLine(line: string): z.infer<typeof mirrored> | undefined {
  try {
    return mirrored.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
