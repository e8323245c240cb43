/**
 * The network's events as they happen, across every break of the connection: each event once, in order, none left out. It
 * ends only where going on cannot help: the credential is gone, or the place to go on from is.
 */
import { eventShape } from '@subcloud/contract/routes/events';
import type { NetworkEvent } from '@subcloud/contract/routes/events';
import { ApiError, ConnectionError, errorFromEnvelope } from './api-error.ts';
import type { Client } from './client.ts';
import { sseParser } from './sse.ts';

export type { NetworkEvent };

export interface FollowOptions {
  readonly node?: string | undefined;
  readonly subcloud?: string | undefined;
  /** Kinds or their nouns, separated by commas. */
  readonly kind?: string | undefined;
  /** The id of the last event that is known; default: what happens from now on. */
  readonly after?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called when the stream has begun, each time: nothing that happens after is missed. */
  readonly onFollowing?: () => void;
  /** Called when the connection broke, with why. */
  readonly onBreak?: (error: Error) => void;
  /** Waits before it connects again; `attempt` counts from 0 since the stream last began. Rejects when the signal aborts. */
  readonly pause: (attempt: number, signal: AbortSignal | undefined) => Promise<void>;
}

/** The server says something every 15 s. */
const IDLE_MS = 45_000;
const MAX_EVENT_BYTES = 1_048_576;
/** Of these another try can come to something else. */
const PASSING = /^(?:platform|capacity)\.|^client\.slow_reader$/;

/** Throws ApiError for what does not pass (`client.events_gone`: list again), and the signal's reason when it aborts. */
export async function* followEvents(client: Client, options: FollowOptions): AsyncGenerator<NetworkEvent> {
  const { signal, onFollowing, onBreak, pause } = options;
  const { node, subcloud, kind } = options;
  const given = { node, subcloud, kind };
  const query = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  let lastEventId = options.after;
  for (let attempt = 0; ; attempt += 1) {
    const parser = sseParser(MAX_EVENT_BYTES);
    let hasBegun = false;
    try {
      for await (const bytes of client.stream('listEvents', { query }, { lastEventId, signal, idleMs: IDLE_MS })) {
        const events = parser.push(bytes);
        if (!hasBegun && parser.lastEventId() !== '') {
          hasBegun = true;
          attempt = 0;
          onFollowing?.();
        }
        for (const { event, data } of events) {
          const value: unknown = JSON.parse(data);
          if (event === 'error') throw errorFromEnvelope(value, 500, null) ?? new Error('an error of no known form');
          const told = eventShape.parse(value);
          lastEventId = told.id;
          yield told;
        }
        // Places that the stream has come to without an event for this reader.
        if (parser.lastEventId() !== '') lastEventId = parser.lastEventId();
      }
      onBreak?.(new ConnectionError('unreachable', 'the event stream ended'));
    } catch (error) {
      signal?.throwIfAborted();
      const passes =
        error instanceof ConnectionError
          ? error.fault !== 'untrusted'
          : error instanceof ApiError && PASSING.test(error.code);
      if (!passes) throw error;
      onBreak?.(error as Error);
    }
    await pause(attempt, signal);
  }
}
