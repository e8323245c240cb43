/**
 * Keeps the table at hand equal to control's: one watch that never ends, an acknowledgement at once after each version
 * and every WATCH_ACK_MS for the lease. Whatever breaks (silence, a malformed line, a table that makes no sense) ends the
 * watch, and a new one is opened after a jittered pause; the last good table stays until its lease runs out.
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import { TABLE_FORMATS } from '@subcloud/contract/table';
import { type VersionRange, commonVersion, versionFault } from '@subcloud/contract/versions';
import {
  type AcknowledgeRequest,
  type AcknowledgeResponse,
  WATCH_ACK_MS,
  WATCH_PATHS,
  WATCH_PING_MS,
  WATCH_VERSIONS,
  WATCH_HEADERS,
  shareInterval,
} from '@subcloud/contract/watch';
import { type Clock, type Random, type Timer, jitteredBackoffMs } from '@subcloud/kit/clock';
import { jsonLineReader } from '@subcloud/kit/json-lines';
import type { Log } from '@subcloud/kit/log';
import { EMPTY_TABLE, type RoutingTable, type TableChange } from '../table/routing-table.ts';
import type { ShareKeeper } from '../limits/share-keeper.ts';
import type { ControlClient } from './control-client.ts';
import { ControlRefusal, answerError } from './control-refusal.ts';
import type { ControlTime } from './control-time.ts';
import type { Lease } from './lease.ts';
import { tableReader } from './table-reader.ts';

const MAX_LINE_BYTES = 67_108_864;
const MAX_REFUSAL_CHARS = 65_536;
/** Short: while control is away the lease runs down, and news of nodes waits. */
const REOPEN_BACKOFF = { baseMs: 100, capMs: 1_000 };

export interface WatchClientOptions {
  readonly control: ControlClient;
  readonly gatewayId: string;
  readonly boot: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly lease: Lease;
  /** Whether somebody looks at this gateway's load, with each answer of control. */
  readonly onLoadWanted?: (wanted: boolean) => void;
  readonly time: ControlTime;
  readonly shares: Pick<ShareKeeper, 'reported' | 'granted'>;
  /** After the swap, in the same turn. */
  readonly onChange: (change: TableChange) => void;
  /** A new watch has brought its first table: control knows nothing of the links yet. */
  readonly onFresh: () => void;
}

export interface WatchClient {
  table(): RoutingTable;
  /** Where there is a table and the right to serve by it. */
  live(): boolean;
  /** Tells control where this gateway is, now. */
  acknowledge(): void;
  /** Ends the watch and gives the lease back, so that no withdrawal waits for it. Nobody may be served any more. */
  stop(): Promise<void>;
}

/** A last word to control is waited for at most this long. */
const RELEASE_WAIT_MS = 1_000;

export function startWatch(options: WatchClientOptions): WatchClient {
  const { clock, control, lease, time, log } = options;
  let table = EMPTY_TABLE;
  let loaded = false;
  let stopped = false;
  let call: ClientRequest | undefined;
  let failures = 0;
  let lastHeardMs = 0;
  let reopening: Timer | undefined;

  const acknowledger = startAcknowledging(options, () => (loaded ? table.version : undefined));

  const reopen = (reason: string, cause?: Error): void => {
    if (cause instanceof ControlRefusal) refused(options, cause);
    call?.destroy();
    call = undefined;
    if (stopped || reopening !== undefined) return;
    const pauseMs = jitteredBackoffMs(failures, REOPEN_BACKOFF, options.random);
    failures += 1;
    log.warn({ reason, pauseMs: Math.round(pauseMs) }, 'the watch ended; opening a new one');
    reopening = clock.after(pauseMs, () => {
      reopening = undefined;
      open();
    });
  };

  const read = (answer: IncomingMessage, own: ClientRequest): void => {
    let fresh = true;
    const onMessage = tableReader(table, {
      committed(change, nowMs) {
        table = change.table;
        loaded = true;
        failures = 0;
        time.heard(nowMs, clock.monotonicMs());
        options.onChange(change);
        acknowledger.now();
        if (fresh) options.onFresh();
        fresh = false;
      },
      pinged: (nowMs) => time.heard(nowMs, clock.monotonicMs()),
    });
    readLines(answer, {
      // What a watch that was given up still delivers is not believed.
      current: () => own === call,
      heard: () => (lastHeardMs = clock.monotonicMs()),
      onMessage,
      onEnd: reopen,
    });
  };

  const open = (): void => {
    if (stopped) return;
    const query = new URLSearchParams({
      gateway: options.gatewayId,
      boot: options.boot,
      version: String(WATCH_VERSIONS.newest),
      oldestVersion: String(WATCH_VERSIONS.oldest),
      table: String(TABLE_FORMATS.newest),
      oldestTable: String(TABLE_FORMATS.oldest),
    });
    lastHeardMs = clock.monotonicMs();
    const own = control.open(
      `${WATCH_PATHS.watch}?${query.toString()}`,
      (answer) => (own === call ? read(answer, own) : answer.destroy()),
      (error) => own === call && reopen(error.message, error),
    );
    call = own;
  };

  const silence = clock.every(WATCH_PING_MS, () => {
    if (call !== undefined && clock.monotonicMs() - lastHeardMs > 3 * WATCH_PING_MS) reopen('control is silent');
  });
  open();
  return {
    table: () => table,
    live: () => loaded && lease.live(),
    acknowledge: () => acknowledger.now(),
    async stop() {
      stopped = true;
      silence.cancel();
      reopening?.cancel();
      const released = acknowledger.release();
      call?.destroy();
      call = undefined;
      lease.drop();
      await released;
    },
  };
}

/** To serve on by a table that control no longer stands behind would be to wait for the end of the lease against its word. */
function refused({ lease, log }: WatchClientOptions, why: ControlRefusal): void {
  if (lease.live()) log.error({ why: why.message }, 'control refuses this gateway: it serves nobody from now on');
  lease.drop();
}

interface LineSink {
  readonly current: () => boolean;
  readonly heard: () => void;
  /** Throws for what it refuses. */
  readonly onMessage: (message: unknown) => void;
  readonly onEnd: (reason: string, cause?: Error) => void;
}

function readLines(answer: IncomingMessage, sink: LineSink): void {
  const end = (reason: string, cause?: Error): void => {
    if (sink.current()) sink.onEnd(reason, cause);
  };
  if (answer.statusCode !== 200) return readRefusal(answer, (error) => end(error.message, error));
  const strange =
    strangeVersion(answer, WATCH_HEADERS.version, 'watch', WATCH_VERSIONS) ??
    strangeVersion(answer, WATCH_HEADERS.table, 'table', TABLE_FORMATS);
  if (strange !== undefined) {
    answer.destroy();
    return end(strange);
  }
  const lines = jsonLineReader({ maxLineBytes: MAX_LINE_BYTES, onLine: sink.onMessage });
  answer.on('data', (chunk: Buffer) => {
    if (!sink.current()) return;
    sink.heard();
    try {
      lines.push(chunk);
    } catch (error) {
      return end(error instanceof Error ? error.message : 'a line was refused');
    }
    // A large table comes in many chunks at once: requests get a turn of the loop after each.
    answer.pause();
    setImmediate(() => answer.resume());
  });
  answer.on('error', () => end('the watch broke'));
  answer.on('end', () => end('control ended the watch'));
}

/** Control takes one of those that were named; it says nothing where it takes the newest. */
function strangeVersion(
  answer: IncomingMessage,
  header: string,
  protocol: string,
  own: VersionRange,
): string | undefined {
  const said = answer.headers[header];
  if (said === undefined) return undefined;
  const version = Number(said);
  const control = { oldest: version, newest: version };
  if (Number.isSafeInteger(version) && commonVersion(control, own) !== undefined) return undefined;
  return versionFault(protocol, { name: 'control', range: control }, { name: 'this gateway', range: own }).message;
}

function readRefusal(answer: IncomingMessage, done: (error: Error) => void): void {
  let text = '';
  const finish = (): void => done(answerError('the watch', answer.statusCode ?? 0, text));
  answer.setEncoding('utf8');
  answer.on('data', (part: string) => {
    text += part;
    if (text.length > MAX_REFUSAL_CHARS) answer.destroy();
  });
  answer.once('close', finish);
}

/** One acknowledgement under way at a time; a version that commits meanwhile is acknowledged right after. */
function startAcknowledging(
  options: WatchClientOptions,
  version: () => number | undefined,
): { now(): void; release(): Promise<void> } {
  const { clock, control, lease, time, log } = options;
  let underWay = false;
  let again = false;
  let stopped = false;

  const send = async (tableVersion: number): Promise<void> => {
    const sentAt = lease.mark();
    const share = options.shares.reported(lease.live());
    const answer = (await control.post(WATCH_PATHS.acknowledge, {
      gateway: options.gatewayId,
      boot: options.boot,
      tableVersion,
      share,
    })) as Partial<AcknowledgeResponse> | null;
    if (answer?.lease === true && typeof answer.leaseMs === 'number') lease.granted(sentAt, answer.leaseMs);
    const granted = shareInterval.safeParse({ lo: answer?.share?.lo, hi: answer?.share?.hi });
    if (granted.success) options.shares.granted({ ...granted.data, idleMs: Number(answer?.share?.idleMs ?? 0) });
    options.onLoadWanted?.(answer?.load === true);
    if (typeof answer?.nowMs === 'number') time.heard(answer.nowMs, clock.monotonicMs());
  };

  const now = (): void => {
    const tableVersion = version();
    if (stopped || tableVersion === undefined) return;
    if (underWay) {
      again = true;
      return;
    }
    underWay = true;
    send(tableVersion)
      .catch((error: unknown) => {
        if (error instanceof ControlRefusal) refused(options, error);
        log.debug({ err: error }, 'an acknowledgement failed');
      })
      .finally(() => {
        underWay = false;
        if (again) {
          again = false;
          now();
        }
      });
  };
  const renewing = clock.every(WATCH_ACK_MS, now);
  return {
    now,
    async release() {
      stopped = true;
      renewing.cancel();
      const tableVersion = version();
      if (tableVersion === undefined) return;
      const { gatewayId: gateway, boot } = options;
      const said = control
        .post(WATCH_PATHS.acknowledge, { gateway, boot, tableVersion, released: true } satisfies AcknowledgeRequest)
        .catch((error: unknown) => log.debug({ err: error }, 'the lease was not given back; it runs out'));
      await Promise.race([said, clock.sleep(RELEASE_WAIT_MS)]);
    },
  };
}
