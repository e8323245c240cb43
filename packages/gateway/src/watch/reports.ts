/**
 * What this gateway tells control of its links: batched, in order, one call at a time. When control has lost its memory, the
 * next call carries the whole set of links. What each last declared follows over RESYNC_MS, since control has nearly all of
 * it in its store, and no news may wait behind a fleet that repeats itself. News of a call that failed is told again first;
 * where that is not known (there was too much of it), everything is.
 */
import { HEARTBEAT_MS } from '@subcloud/contract/link';
import { type ReportEvent, type ReportsRequest, WATCH_PATHS } from '@subcloud/contract/watch';
import { type Clock, type Random, type Timer, jitteredBackoffMs } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { ControlClient } from './control-client.ts';

const BATCH_MS = 20;
/** Control takes one call in one transaction. */
const MAX_EVENTS_PER_CALL = 2_000;
const MAX_QUEUED_EVENTS = 50_000;
/** The whole of what agents declared is told over so long, a slice at a time. */
const RESYNC_MS = 60_000;
const SLICE_MS = 250;
/** Some 60 KiB, where they are declarations. */
const VALUES_A_PART = 64;
const ALIVE_AT_ONCE = 2_000;
/** Fewer are not worth a call of their own. */
const LEAST_SLICE = 64;
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
  /** The newest declaration of a live link; undefined: there is none. */
  readonly declaration: (node: string) => ReportEvent | undefined;
  /** What agents last said of pools that they are leaving. */
  readonly drained: () => readonly ReportEvent[];
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
  /** Nodes whose declarations are still to be told again. */
  let repeating: string[] = [];
  let sliceSize = 0;
  let overflowed = false;
  let slicing: Timer | undefined;

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
    whole = false;
    underWay = true;
    const { gatewayId: gateway, boot } = options;
    control
      .postParts(WATCH_PATHS.reports, reportParts({ gateway, boot, events }, withLinks ? options.links() : undefined))
      .then(
        () => {
          failures = 0;
          underWay = false;
          if (overflowed) {
            overflowed = false;
            queue = [...options.drained(), ...queue];
            repeat();
          }
          if (queue.length > 0 || whole) schedule(0);
        },
        (error: unknown) => {
          log.debug({ err: error }, 'a report to control failed');
          // Whether it arrived is not known. Links are told as they are; all else is told again, and counts once.
          queue = [...events.filter(isKept), ...queue];
          whole = true;
          underWay = false;
          schedule(jitteredBackoffMs(failures, RETRY_BACKOFF, options.random));
          failures += 1;
        },
      );
  };

  /** Declarations of all links again, so many at a time that the last of them is told within RESYNC_MS. */
  const repeat = (): void => {
    slicing?.cancel();
    repeating = options.links().map(({ node }) => node);
    sliceSize = Math.max(LEAST_SLICE, Math.ceil((repeating.length * SLICE_MS) / RESYNC_MS));
    const slice = (): void => {
      slicing = undefined;
      for (const node of repeating.splice(0, sliceSize)) {
        const event = options.declaration(node);
        if (event !== undefined) add(event);
      }
      if (repeating.length > 0 && !stopped) slicing = clock.after(SLICE_MS, slice);
    };
    slice();
  };

  const heartbeat = clock.every(HEARTBEAT_MS, () => {
    const nodes = options.links().map(({ node }) => node);
    for (let start = 0; start < nodes.length; start += ALIVE_AT_ONCE)
      add({ type: 'alive', nodes: nodes.slice(start, start + ALIVE_AT_ONCE) });
  });

  const add = (event: ReportEvent): void => {
    if (queue.length >= MAX_QUEUED_EVENTS) {
      queue = queue.filter(({ type }) => type === 'lock-refusal').slice(-1_000);
      whole = true;
      overflowed = true;
    }
    queue.push(event);
    schedule(BATCH_MS);
  };

  return {
    add,
    resync() {
      known = true;
      whole = true;
      queue = [...options.drained(), ...queue];
      repeat();
      schedule(0);
    },
    stop() {
      stopped = true;
      heartbeat.cancel();
      timer?.cancel();
      slicing?.cancel();
    },
  };
}

/** The report as JSON text, a part at a time: of ten thousand links in one text, requests would wait for the whole. */
function* reportParts({ gateway, boot, events }: ReportsRequest, links: LinkStates | undefined): Generator<string> {
  yield `{"gateway":${JSON.stringify(gateway)},"boot":${JSON.stringify(boot)}`;
  if (links !== undefined) yield* listParts('links', links);
  yield* listParts('events', events);
  yield '}';
}

function* listParts(name: string, values: readonly unknown[]): Generator<string> {
  yield `,"${name}":[`;
  for (let start = 0; start < values.length; start += VALUES_A_PART) {
    const part = JSON.stringify(values.slice(start, start + VALUES_A_PART)).slice(1, -1);
    yield start === 0 ? part : `,${part}`;
  }
  yield ']';
}

/** What a call that failed leaves to be told. Whether nodes are linked or alive is told by the links as they are then. */
function isKept({ type }: ReportEvent): boolean {
  return type !== 'linked' && type !== 'unlinked' && type !== 'alive';
}
