/**
 * The usage journal: a record is in the kernel's hands before the caller sees the end of its answer, so kill -9 loses
 * none; it is on disk within FSYNC_MS, so power loss loses at most that. Records of one loop turn leave in one write(2).
 *
 * Files are `usage-<first sequence>.jsonl`, one JSON line a record, sequences without gaps. A torn last line (power loss)
 * is cut off at start: its answer's end was never promised. The next sequence never falls below `usage.json`, which
 * remembers what control has stored when every segment is gone.
 *
 * When the disk refuses, `append` calls back with false: the answer must not end as if it were counted.
 */
import {
  closeSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type UsageRecord, usageRecord } from '@subcloud/contract/watch';
import type { Clock, Timer } from '@subcloud/kit/clock';
import { readFileIfPresent, saveFileDurably } from '@subcloud/kit/files';
import type { Log } from '@subcloud/kit/log';

const FSYNC_MS = 100;
/** Between two tries of a disk that refuses. */
const RETRY_MS = 1_000;
const MAX_SEGMENT_BYTES = 8_388_608;
/** An active segment that control has stored whole is deleted from this size on: below it, the syncs cost more. */
const MIN_ROTATED_BYTES = 1_048_576;
/** Records that control has not stored; beyond it nothing more is answered than can be counted. */
const MAX_UNSTORED_RECORDS = 1_000_000;
const SEGMENT = /^usage-(\d{16})\.jsonl$/;

export type UnsequencedUsage = Omit<UsageRecord, 'sequence'>;

export interface Journal {
  /** Written at the end of this loop turn; then `written(true)`, or `written(false)` when the disk refused. */
  append(record: UnsequencedUsage, written: (stored: boolean) => void): void;
  /**
   * Whether an answer of this moment could not be counted: the disk refused the last write, or there is too much that
   * control has not stored. Once a RETRY_MS it says false nevertheless, and what is let in then tries the disk.
   */
  refuses(): boolean;
  /** As `refuses`, without letting anything in. */
  readonly writable: boolean;
  /** The oldest records that control has not stored, at most `max`, each as JSON. */
  pending(max: number): readonly string[];
  /** Control has stored everything up to `sequence`; whole segments below it are deleted. */
  acknowledged(sequence: number): void;
  /** Sequence of the newest record that was written; zero where there is none. */
  readonly last: number;
  /** Sequence up to which control has stored everything. */
  readonly stored: number;
  close(): void;
}

interface Segment {
  readonly path: string;
  readonly first: number;
  last: number;
}

export interface JournalOptions {
  readonly dir: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Throws when the folder cannot be used or a segment is damaged elsewhere than in its last line. */
export function openJournal(options: JournalOptions): Journal {
  return new FileJournal(options);
}

class FileJournal implements Journal {
  readonly #dir: string;
  readonly #log: Log;
  readonly #fsyncTimer: Timer;
  #segments: Segment[] = [];
  /**
   * In memory too, so that uploads read no file: all that control has not stored, by sequence without gaps. Kept as the
   * text that was written: thousands of small objects that outlive a collection cost more than they hold.
   */
  #unstored: string[] = [];
  #queue: { readonly json: string; readonly written: (stored: boolean) => void }[] = [];
  #scheduled = false;
  #file: number;
  #fileBytes = 0;
  #rotateAtBytes = MAX_SEGMENT_BYTES;
  #dirty = false;
  #syncing = false;
  #deleting = false;
  #closed = false;
  readonly #clock: Clock;
  /** Monotonic; undefined while the disk takes what it is given. */
  #retryAtMs: number | undefined;
  #stored = 0;
  #assigned: number;
  last: number;

  constructor({ dir, clock, log }: JournalOptions) {
    this.#dir = dir;
    this.#log = log;
    this.#clock = clock;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#stored = readStored(dir);
    this.last = this.#recover();
    this.#assigned = this.last;
    this.#file = this.#openSegment();
    this.#fsyncTimer = clock.every(FSYNC_MS, () => this.#sync());
  }

  append(record: UnsequencedUsage, written: (stored: boolean) => void): void {
    if (this.#closed || this.#unstored.length >= MAX_UNSTORED_RECORDS) return written(false);
    this.#assigned += 1;
    this.#queue.push({ json: JSON.stringify({ sequence: this.#assigned, ...record }), written });
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#flush());
  }

  get writable(): boolean {
    return this.#retryAtMs === undefined && this.#unstored.length < MAX_UNSTORED_RECORDS;
  }

  refuses(): boolean {
    if (this.#unstored.length >= MAX_UNSTORED_RECORDS) return true;
    if (this.#retryAtMs === undefined) return false;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#retryAtMs) return true;
    this.#retryAtMs = nowMs + RETRY_MS;
    return false;
  }

  #flush(): void {
    this.#scheduled = false;
    const batch = this.#queue;
    if (batch.length === 0) return;
    this.#queue = [];
    let lines = '';
    for (const { json } of batch) lines += `${json}\n`;
    const bytes = Buffer.from(lines);
    const stored = this.#write(bytes);
    if (stored) {
      this.last = this.#assigned;
      const segment = this.#segments.at(-1);
      if (segment !== undefined) segment.last = this.last;
      for (const { json } of batch) this.#unstored.push(json);
      if (this.#fileBytes >= this.#rotateAtBytes) this.#rotate();
    } else {
      // The numbers go to the next records: a gap would stop the upload for ever.
      this.#assigned = this.last;
    }
    for (const { written } of batch) written(stored);
  }

  /** A write that the disk took only in part is undone, so that no half line stands before the next. */
  #write(bytes: Buffer): boolean {
    try {
      const taken = writeSync(this.#file, bytes, 0, bytes.byteLength, this.#fileBytes);
      if (taken !== bytes.byteLength) throw new Error(`the disk took ${taken} of ${bytes.byteLength} bytes`);
      this.#fileBytes += taken;
      this.#dirty = true;
      this.#retryAtMs = undefined;
      return true;
    } catch (error) {
      // Said once, and again when it has worked in between: a full disk has no room for more.
      if (this.#retryAtMs === undefined) this.#log.error({ err: error }, 'the usage journal cannot be written');
      this.#retryAtMs = this.#clock.monotonicMs() + RETRY_MS;
      try {
        ftruncateSync(this.#file, this.#fileBytes);
      } catch {
        // The next write starts at the same offset and covers what is there.
      }
      return false;
    }
  }

  get stored(): number {
    return this.#stored;
  }

  pending(max: number): readonly string[] {
    return this.#unstored.slice(0, max);
  }

  acknowledged(sequence: number): void {
    if (sequence <= this.#stored) return;
    const stored = Math.min(sequence, this.last);
    this.#unstored = this.#unstored.slice(stored - this.#stored);
    this.#stored = stored;
    const active = this.#segments.at(-1);
    if (active !== undefined && active.last <= this.#stored && this.#fileBytes >= MIN_ROTATED_BYTES) this.#rotate();
    void this.#deleteStored();
  }

  /** Beside the loop, since it syncs: what control has stored is remembered before the segments that say so are gone. */
  async #deleteStored(): Promise<void> {
    const done = this.#segments.filter((segment) => segment !== this.#segments.at(-1) && segment.last <= this.#stored);
    if (done.length === 0 || this.#deleting || this.#closed) return;
    this.#deleting = true;
    try {
      await saveFileDurably(join(this.#dir, 'usage.json'), `${JSON.stringify({ stored: this.#stored })}\n`);
      for (const { path } of done) await rm(path, { force: true });
      this.#segments = this.#segments.filter((segment) => !done.includes(segment));
    } catch (error) {
      this.#log.error({ err: error }, 'usage segments that control has stored cannot be deleted');
    }
    this.#deleting = false;
  }

  close(): void {
    if (this.#closed) return;
    this.#flush();
    this.#closed = true;
    this.#fsyncTimer.cancel();
    try {
      fsyncSync(this.#file);
    } catch (error) {
      this.#log.error({ err: error }, 'the usage journal cannot be synced');
    }
    closeSync(this.#file);
  }

  #sync(): void {
    if (!this.#dirty || this.#syncing || this.#closed) return;
    this.#dirty = false;
    this.#syncing = true;
    fsync(this.#file, (error) => {
      this.#syncing = false;
      if (error !== null && !this.#closed) this.#log.error({ err: error }, 'the usage journal cannot be synced');
    });
  }

  /** Requests wait in this turn of the loop: the old segment is synced beside it. */
  #rotate(): void {
    const before = this.#file;
    try {
      this.#file = this.#openSegment();
    } catch (error) {
      // A full disk, no file handle left: the old segment goes on, longer than it should be.
      this.#rotateAtBytes = this.#fileBytes + MIN_ROTATED_BYTES;
      this.#log.error({ err: error }, 'a new usage segment cannot be opened');
      return;
    }
    this.#dirty = false;
    this.#rotateAtBytes = MAX_SEGMENT_BYTES;
    fsync(before, (error) => {
      if (error !== null) this.#log.error({ err: error }, 'a usage segment cannot be synced');
      closeSync(before);
    });
  }

  #openSegment(): number {
    const first = this.last + 1;
    const path = join(this.#dir, `usage-${String(first).padStart(16, '0')}.jsonl`);
    const file = openSync(path, 'w', 0o600);
    this.#segments = this.#segments.filter((segment) => segment.path !== path);
    this.#segments.push({ path, first, last: first - 1 });
    this.#fileBytes = 0;
    return file;
  }

  /** Reads what is there and answers the newest sequence. */
  #recover(): number {
    let last = this.#stored;
    const found = readdirSync(this.#dir)
      .filter((name) => SEGMENT.test(name))
      .sort();
    // An empty one was opened and never written: the newest is the last that holds something.
    const names = found.filter((name) => statSync(join(this.#dir, name)).size > 0);
    for (const name of found) if (!names.includes(name)) unlinkSync(join(this.#dir, name));
    for (const [index, name] of names.entries()) {
      const path = join(this.#dir, name);
      const first = Number(SEGMENT.exec(name)?.[1]);
      const records = readSegment(path, index === names.length - 1);
      if (records.length === 0) {
        unlinkSync(path);
        continue;
      }
      if (records.some((record, position) => record.sequence !== first + position)) {
        throw new Error(`${path}: the sequence of the usage journal has a gap`);
      }
      const segmentLast = records.at(-1)?.sequence ?? first;
      if (first > last + 1) throw new Error(`${path}: usage records before this segment are missing`);
      this.#segments.push({ path, first, last: segmentLast });
      for (const record of records) if (record.sequence > this.#stored) this.#unstored.push(JSON.stringify(record));
      last = Math.max(last, segmentLast);
    }
    return last;
  }
}

function readStored(dir: string): number {
  const text = readFileIfPresent(join(dir, 'usage.json'));
  if (text === undefined) return 0;
  const { stored } = JSON.parse(text) as { stored?: unknown };
  if (!Number.isSafeInteger(stored)) throw new Error(`${dir}/usage.json is damaged`);
  return stored as number;
}

/** In the newest segment a last line that is not whole is cut off; anywhere else it is damage. */
function readSegment(path: string, newest: boolean): readonly UsageRecord[] {
  const text = readFileSync(path, 'utf8');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  if (whole.length < text.length) {
    if (!newest) throw new Error(`${path}: a usage segment ends in the middle of a line`);
    const file = openSync(path, 'r+');
    ftruncateSync(file, Buffer.byteLength(whole));
    fsyncSync(file);
    closeSync(file);
  }
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => usageRecord.parse(JSON.parse(line)));
}
