/**
 * Sends usage, decision records and nodes' halves of receipts to control. Usage goes in order, one call at a time, until control has stored it:
 * repeated batches do no harm, since control knows them by (gateway, sequence). Decision records are best effort.
 */
import type { ServingBatch } from '@subcloud/contract/receipts';
import { type DecisionRecord, type ReceiptsRequest, type UsageResponse, WATCH_PATHS } from '@subcloud/contract/watch';
import { type Clock, type Random, type Timer, jitteredBackoffMs } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { ControlClient } from '../watch/control-client.ts';
import type { Journal } from './journal.ts';
import { type ReceiptSigner, signReceipts } from './sign-receipts.ts';

const UPLOAD_MS = 250;
const MAX_BATCH_RECORDS = 1_000;
const MAX_QUEUED_DECISIONS = 20_000;
/** Nodes' halves that wait: each is about 500 bytes. */
const MAX_QUEUED_HALVES = 20_000;
const MAX_RECEIPT_BATCHES = 64;
const RETRY_BACKOFF = { baseMs: 250, capMs: 10_000 };

export interface UploadOptions {
  readonly control: ControlClient;
  readonly gatewayId: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly journal: Journal;
  readonly signer: ReceiptSigner;
}

export interface Uploads {
  /** Dropped, oldest first, when control does not take them in time. */
  decided(record: DecisionRecord): void;
  /** What a node signed. Dropped, oldest first, as decision records are. */
  received(node: string, batch: ServingBatch): void;
  /** Sends what there is, once; for a drain. Never rejects. */
  flush(): Promise<void>;
  stop(): void;
}

export type NodeBatch = ReceiptsRequest['batches'][number];

export function startUploads(options: UploadOptions): Uploads {
  /** As JSON: see the journal's own. */
  let decisions: string[] = [];
  const start = `{"gateway":${JSON.stringify(options.gatewayId)},"records":[`;
  const batch = (records: readonly string[], more = ''): string => `${start}${records.join(',')}]${more}}`;
  /** With the newest record of the journal when they came: control takes them once it has stored that. */
  let halves: { readonly batch: NodeBatch; readonly after: number }[] = [];
  let halvesCount = 0;
  const sendUsage = async (): Promise<boolean> => {
    const records = options.journal.pending(MAX_BATCH_RECORDS);
    if (records.length === 0) return false;
    const signed = signReceipts(options.signer, records);
    const more = signed === undefined ? '' : `,"receipts":${JSON.stringify(signed)}`;
    const json = batch(records, more);
    const answer = (await options.control.postJson(WATCH_PATHS.usage, json)) as Partial<UsageResponse> | null;
    if (!Number.isSafeInteger(answer?.acknowledged)) throw new Error('control did not say what it stored');
    options.journal.acknowledged(answer?.acknowledged ?? 0);
    return records.length === MAX_BATCH_RECORDS;
  };
  const sendDecisions = async (): Promise<boolean> => {
    const records = decisions.slice(0, MAX_BATCH_RECORDS);
    if (records.length === 0) return false;
    decisions = decisions.slice(records.length);
    await options.control.postJson(WATCH_PATHS.decisions, batch(records));
    return decisions.length > 0;
  };
  const sendHalves = async (): Promise<boolean> => {
    const ready = halves.filter(({ after }) => after <= options.journal.stored).slice(0, MAX_RECEIPT_BATCHES);
    if (ready.length === 0) return false;
    const batches = ready.map((one) => one.batch);
    await options.control.post(WATCH_PATHS.receipts, { gateway: options.gatewayId, batches } satisfies ReceiptsRequest);
    halves = halves.filter((one) => !ready.includes(one));
    halvesCount = countOf(halves);
    return ready.length === MAX_RECEIPT_BATCHES;
  };
  const receipts = repeat(options, sendHalves, 'receipt');
  const usage = repeat(options, sendUsage, 'usage');
  const decided = repeat(options, sendDecisions, 'decision');
  return {
    decided(record) {
      if (decisions.length >= MAX_QUEUED_DECISIONS) decisions = decisions.slice(MAX_QUEUED_DECISIONS / 2);
      decisions.push(JSON.stringify(record));
    },
    received(node, { pool, publicKey, endorsement, document, leaves }) {
      const one: NodeBatch = { node, pool, publicKey, endorsement, document, leaves };
      while (halves.length > 0 && halvesCount + one.leaves.length > MAX_QUEUED_HALVES) {
        halvesCount -= halves.shift()?.batch.leaves.length ?? 0;
      }
      halves.push({ batch: one, after: options.journal.last });
      halvesCount += one.leaves.length;
    },
    async flush() {
      await Promise.allSettled([sendUsage(), sendDecisions()]);
      await Promise.allSettled([sendHalves()]);
    },
    stop() {
      receipts.cancel();
      usage.cancel();
      decided.cancel();
    },
  };
}

function countOf(halves: readonly { readonly batch: NodeBatch }[]): number {
  return halves.reduce((sum, { batch }) => sum + batch.leaves.length, 0);
}

/** Runs `send` every UPLOAD_MS, at once again while it answers true, and after a growing pause when it fails. */
function repeat(options: UploadOptions, send: () => Promise<boolean>, what: string): Timer {
  const { clock, random, log } = options;
  let stopped = false;
  let failures = 0;
  let timer: Timer;
  const round = (): void => {
    send().then(
      (more) => {
        failures = 0;
        plan(more ? 0 : UPLOAD_MS);
      },
      (error: unknown) => {
        log.debug({ err: error }, `${what} records could not be sent`);
        plan(UPLOAD_MS + jitteredBackoffMs(failures, RETRY_BACKOFF, random));
        failures += 1;
      },
    );
  };
  const plan = (delayMs: number): void => {
    if (!stopped) timer = clock.after(delayMs, round);
  };
  plan(UPLOAD_MS);
  return {
    cancel() {
      stopped = true;
      timer.cancel();
    },
  };
}
