/**
 * A backup is one gzip file of JSON lines: a header, the files of keys and credentials, the rows of every table, and a
 * last line with the number and the SHA-256 of all lines before it. What has no such last line, or another hash, is no
 * backup: it was cut or changed.
 *
 * Versions: 1, 2026-11.
 */
import * as z from 'zod';

export const BACKUP_VERSION = 1;

export const backupHeader = z.strictObject({
  format: z.literal('subcloud-backup'),
  version: z.int().positive(),
  networkId: z.string().max(64),
  /** SHA-256 of the network key, as in every join token. */
  fingerprint: z.string().max(128),
  epoch: z.int().positive(),
  /** Number of the newest migration that the rows are of. */
  migration: z.int().positive(),
  /** Of the audit log at that moment: what came later is in the mirror of the log. */
  auditSequence: z.int().nonnegative(),
  auditHash: z.string().max(64),
  /** Milliseconds since 1970, of the machine that made it. */
  takenAtMs: z.int().positive(),
});
export type BackupHeader = z.infer<typeof backupHeader>;

/** A key or credential file, below the data folder. */
export const backupFile = z.strictObject({ file: z.string().max(256), text: z.string().max(1_048_576) });
export type BackupFile = z.infer<typeof backupFile>;

/** Last line. */
export const backupEnd = z.strictObject({ lines: z.int().positive(), sha256: z.string().length(64) });

export class BackupError extends Error {
  override readonly name = 'BackupError';
  /** What to do next, as a sentence. */
  readonly next: string;
  constructor(message: string, next: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.next = next;
  }
}

/** Files of the data folder that a network cannot be restored without. The network key may be kept elsewhere. */
export function isKeptFile(path: string): boolean {
  return path === 'credentials.json' || /^keys\/[a-z0-9-]+\.(?:pem|json)$/.test(path);
}
