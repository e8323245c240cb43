/**
 * Streams of server-sent events. A stream pulls: it reads a batch, sends what its reader may see at that moment, and waits
 * until that was taken, so a slow reader costs one batch and nothing else, and is cut after a while. Who it is and what it
 * may see is asked again before every byte that tells something; a stream whose credential is gone ends at once.
 *
 * Every end that is not the reader's own is told by an `error` event with the API's envelope. Whoever comes back with the
 * id of the last event goes on right after it.
 */
import type { ServerResponse } from 'node:http';
import { AppError, toEnvelope } from '@subcloud/contract/errors';
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { Actor } from '../access/actor.ts';
import { type Database, isStoreFault } from '../store/database.ts';
import type { World } from '../world/world.ts';
import { eventReader } from './audience.ts';
import { type EventCursors, eventCursors } from './cursor.ts';
import { type EventFilter, createEventLog, matches } from './event-log.ts';
import { eventView } from './event-view.ts';

export interface StreamRequest {
  readonly response: ServerResponse;
  readonly headers: Readonly<Record<string, string>>;
  /** Who the credential belongs to at this moment; throws where it belongs to nobody any more. */
  readonly actor: () => Actor;
  readonly filter: EventFilter;
  /** The place after which it begins; undefined: with what happens from now on. */
  readonly after: number | undefined;
}

export interface EventStreams {
  readonly cursors: EventCursors;
  /** Resolves when the stream has begun. Throws capacity.too_many_streams, client.events_gone, or as `actor` does. */
  open(request: StreamRequest): Promise<void>;
  /** After each turn of the loop. */
  readonly poke: () => void;
  /** Ends all, with a word. */
  stop(): void;
}

const MAX_STREAMS = 100;
/** Of an account; the admin token counts as one. */
const MAX_STREAMS_EACH = 8;
const BATCH = 200;
const HEARTBEAT_MS = 15_000;
/** Nothing of what was sent has been taken for so long: the reader is gone or asleep. */
const MAX_UNREAD_MS = 30_000;
/** For the last word to arrive, before the connection is cut. */
const MAX_ENDING_MS = 2_000;
/** How soon a reader comes back, as the stream asks it to. */
const RETRY_MS = 2_000;

export function createEventStreams(options: {
  readonly db: Database;
  /** As of `createEventLog`. */
  readonly settled: () => Promise<void>;
  /** For the ids of events; see cursor.ts. */
  readonly secret: string;
  readonly world: World;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether this replica leads: what it knows of rights is of no use when it does not. */
  readonly held: () => boolean;
}): EventStreams {
  const { secret, world, clock, log, held } = options;
  const events = createEventLog(options);
  const cursors = eventCursors(secret, world.epoch);
  const streams = new Map<Stream, string>();
  let isStopped = false;

  const requireRoom = (who: string): void => {
    const own = [...streams.values()].filter((each) => each === who).length;
    if (own >= MAX_STREAMS_EACH)
      throw new AppError('capacity.too_many_streams', {
        message: `This account follows ${own} event streams, and may follow no more at once.`,
        retryAfterS: 10,
      });
    if (streams.size >= MAX_STREAMS)
      throw new AppError('capacity.too_many_streams', {
        message: `${MAX_STREAMS} event streams are open, and there may be no more at once.`,
        retryAfterS: 10,
      });
  };

  return {
    cursors,
    async open(request) {
      const { response, headers, actor, filter, after } = request;
      const { kind, ...who } = actor();
      const account = 'principal' in who ? who.principal : kind;
      requireRoom(account);
      if (isStopped) throw new AppError('platform.standby', { retryAfterS: 2 });
      const stream = new Stream(response, clock);
      streams.set(stream, account);
      const end = (fault: AppError | undefined): void => {
        streams.delete(stream);
        stream.end(fault);
      };
      try {
        const { head, stop } = await events.follow(() => stream.wake());
        stream.onClose(() => {
          stop();
          end(undefined);
        });
        let place = after ?? head;
        let batch = await events.after(place, BATCH);
        const check = (): Actor => {
          if (isStopped || !held()) throw new AppError('platform.standby', { retryAfterS: 2 });
          return actor();
        };
        check();
        response.writeHead(200, { ...headers, ...STREAM_HEADERS });
        stream.write(`retry: ${RETRY_MS}\n: follow\nid: ${cursors.placeOf(place)}\n\n`);
        const run = async (): Promise<void> => {
          while (!stream.isOver) {
            const me = check();
            const reader = eventReader(world, me);
            const shown = batch.events.filter((event) => matches(filter, event) && reader.mayRead(event));
            place = batch.upTo;
            if (shown.length > 0) {
              stream.write(shown.map((event) => frameOf(eventView({ world, cursors, reader }, event))).join(''));
              await stream.taken(MAX_UNREAD_MS);
            }
            if (!batch.more && (await stream.news(HEARTBEAT_MS)) === 'quiet') {
              check();
              // Also for what was not this reader's: after a break it does not go over it again.
              stream.write(`: quiet\nid: ${cursors.placeOf(place)}\n\n`);
              await stream.taken(MAX_UNREAD_MS);
              // What did not come by a turn of this process is found now.
              await events.caughtUp();
            }
            batch = await events.after(place, BATCH);
          }
        };
        run().then(
          () => end(undefined),
          (error: unknown) => {
            const fault = isStoreFault(error)
              ? new AppError('platform.store_unavailable', { cause: error, retryAfterS: 2 })
              : AppError.from(error);
            if (fault.code === 'platform.internal') log.error({ err: error }, 'an event stream failed');
            end(fault);
          },
        );
      } catch (error) {
        streams.delete(stream);
        stream.abandon();
        throw error;
      }
    },
    poke: () => events.poke(),
    stop() {
      isStopped = true;
      for (const stream of streams.keys()) stream.end(new AppError('platform.standby', { retryAfterS: 2 }));
      streams.clear();
    },
  };
}

const STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  // For proxies that hold answers back until they are whole.
  'x-accel-buffering': 'no',
} as const;

function frameOf(event: ReturnType<typeof eventView>): string {
  return `id: ${event.id}\nevent: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`;
}

/** One reader's connection. */
class Stream {
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  readonly #closing: (() => void)[] = [];
  #isOver = false;
  #hasNews = false;
  /** Called with every word that may matter to who waits. */
  #signal: () => void = () => undefined;

  constructor(response: ServerResponse, clock: Clock) {
    this.#response = response;
    this.#clock = clock;
    response.on('close', this.#closed);
    response.on('drain', this.#drained);
    // What breaks closes too.
    response.on('error', () => undefined);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  onClose(listener: () => void): void {
    if (this.#isOver) listener();
    else this.#closing.push(listener);
  }

  wake(): void {
    this.#hasNews = true;
    this.#signal();
  }

  write(text: string): void {
    if (!this.#isOver) this.#response.write(text);
  }

  /** Resolves when what was written is on its way. Throws client.slow_reader. */
  async taken(limitMs: number): Promise<void> {
    if (!(await this.#until(() => !this.#response.writableNeedDrain, limitMs)))
      throw new AppError('client.slow_reader');
  }

  /** Resolves when there may be news, or with `quiet` after so long. */
  async news(limitMs: number): Promise<'news' | 'quiet'> {
    const isNews = await this.#until(() => this.#hasNews, limitMs);
    this.#hasNews = false;
    return isNews ? 'news' : 'quiet';
  }

  end(fault: AppError | undefined): void {
    if (this.#isOver) return;
    this.#over();
    // One that has not begun is answered by whoever opens it.
    if (!this.#response.headersSent) return;
    if (fault !== undefined) this.#response.write(`event: error\ndata: ${JSON.stringify(toEnvelope(fault))}\n\n`);
    this.#response.end();
    this.#clock.after(MAX_ENDING_MS, () => {
      if (!this.#response.writableFinished) this.#response.destroy();
    });
  }

  /** It never began: the response is somebody else's. */
  abandon(): void {
    this.#response.off('close', this.#closed);
    this.#response.off('drain', this.#drained);
    this.#over();
  }

  readonly #closed = (): void => this.#over();
  readonly #drained = (): void => this.#signal();

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const listener of this.#closing.splice(0)) listener();
    this.#signal();
  }

  /** Whether it came to hold in time; at once when the stream is over. */
  #until(holds: () => boolean, limitMs: number): Promise<boolean> {
    if (this.#isOver || holds()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const done = (held: boolean): void => {
        timer.cancel();
        this.#signal = () => undefined;
        resolve(held);
      };
      const timer = this.#clock.after(limitMs, () => done(false));
      this.#signal = () => {
        if (this.#isOver || holds()) done(true);
      };
    });
  }
}
