/**
 * What this gateway tells control of its links: batched, in order, one call at a time. When a call fails, or control has
 * lost its memory, the next one carries the whole set of links and what each last declared, so nothing needs to be
 * remembered but the present.
 */
import { HEARTBEAT_MS } from '@subcloud/contract/link';
import { type ReportEvent, type ReportsRequest, WATCH_PATHS } from '@subcloud/contract/watch';
import { type Clock, type Random, type Timer, jitteredBackoffMs } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { ControlClient } from './control-client.ts';

const BATCH_MS = 20;
const MAX_EVENTS_PER_CALL = 10_000;
const MAX_QUEUED_EVENTS = 50_000;
const RETRY_BACKOFF = { baseMs: 100, capMs: 2_000 };

export type LinkStates = NonNullable<ReportsRequest['links']>;

export interface Reports {
  add(event: ReportEvent): void;
  /** Control must hear of all links again. */
  resync(): void;
  stop(): void;
}

export interface ReportsOptions {
  readonly control: ControlClient;
  readonly gatewayId: string;
  readonly boot: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly links: () => LinkStates;
  /** The newest declaration of each live link. */
  readonly declarations: () => readonly ReportEvent[];
}

export function startReports(options: ReportsOptions): Reports {
  const { clock, control, log } = options;
  let queue: ReportEvent[] = [];
  let whole = false;
  let known = false;
  let underWay = false;
  let failures = 0;
  let timer: Timer | undefined;
  let stopped = false;

  const schedule = (delayMs: number): void => {
    // Before the first watch nobody listens: the first call brings everything.
    if (stopped || !known || underWay || timer !== undefined) return;
    timer = clock.after(delayMs, () => {
      timer = undefined;
      flush();
    });
  };

  const flush = (): void => {
    if (underWay || (queue.length === 0 && !whole)) return;
    const withLinks = whole;
    const events = queue.slice(0, MAX_EVENTS_PER_CALL);
    queue = queue.slice(events.length);
    if (withLinks) queue = [...options.declarations(), ...queue];
    whole = false;
    underWay = true;
    control
      .post(WATCH_PATHS.reports, {
        gateway: options.gatewayId,
        boot: options.boot,
        ...(withLinks ? { links: options.links() } : {}),
        events,
      } satisfies ReportsRequest)
      .then(
        () => {
          failures = 0;
          underWay = false;
          if (queue.length > 0 || whole) schedule(0);
        },
        (error: unknown) => {
          log.debug({ err: error }, 'a report to control failed');
          // Whether it arrived is not known. Refusals are alarms and must not be lost; the rest is in the links.
          queue = [...events.filter(({ type }) => type === 'lock-refusal'), ...queue];
          whole = true;
          underWay = false;
          schedule(jitteredBackoffMs(failures, RETRY_BACKOFF, options.random));
          failures += 1;
        },
      );
  };

  const heartbeat = clock.every(HEARTBEAT_MS, () => {
    const nodes = options.links().map(({ node }) => node);
    if (nodes.length > 0) add({ type: 'alive', nodes });
  });

  const add = (event: ReportEvent): void => {
    if (queue.length >= MAX_QUEUED_EVENTS) {
      queue = queue.filter(({ type }) => type === 'lock-refusal').slice(-1_000);
      whole = true;
    }
    queue.push(event);
    schedule(BATCH_MS);
  };

  return {
    add,
    resync() {
      known = true;
      whole = true;
      schedule(0);
    },
    stop() {
      stopped = true;
      heartbeat.cancel();
      timer?.cancel();
    },
  };
}
