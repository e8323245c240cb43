/** Somebody who follows the events of a network, and what came. */
import type { NetworkEvent } from '@subcloud/contract/routes/events';
import type { Client } from '@subcloud/sdk/client';
import { type FollowOptions, followEvents } from '@subcloud/sdk/events';
import { systemClock } from '@subcloud/kit/clock';

export interface Following extends AsyncDisposable {
  readonly events: readonly NetworkEvent[];
  /** Of connections that broke. */
  readonly breaks: readonly Error[];
  /** With why it ended, where it did not end by itself. */
  readonly ended: Promise<unknown>;
  stop(): Promise<void>;
}

/** Resolves when it follows: whatever happens after that comes. */
export async function follow(client: Client, options: Partial<FollowOptions> = {}): Promise<Following> {
  const stopping = new AbortController();
  const events: NetworkEvent[] = [];
  const breaks: Error[] = [];
  let begun: () => void = () => undefined;
  const following = new Promise<void>((resolve) => (begun = resolve));
  const ended = (async (): Promise<unknown> => {
    try {
      const told = followEvents(client, {
        pause: (_attempt, signal) => systemClock.sleep(20, signal),
        ...options,
        signal: stopping.signal,
        onFollowing: begun,
        onBreak: (error) => breaks.push(error),
      });
      for await (const event of told) events.push(event);
      return undefined;
    } catch (error) {
      return error;
    }
  })();
  const failed = ended.then((error) => {
    if (error instanceof Error && !stopping.signal.aborted) throw error;
  });
  await Promise.race([following, failed]);
  failed.catch(() => undefined);
  const stop = async (): Promise<void> => {
    stopping.abort();
    await ended;
  };
  return { events, breaks, ended, stop, [Symbol.asyncDispose]: stop };
}
