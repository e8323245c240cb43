import type { ClientHttp2Session } from 'node:http2';
import type { Clock } from '@subcloud/kit/clock';

const PING_TIMEOUT_MS = 2_000;

/** Whether the far end of a session answers a ping within PING_TIMEOUT_MS. */
export function answersPing(session: ClientHttp2Session, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => {
    if (session.destroyed) return resolve(false);
    const timer = clock.after(PING_TIMEOUT_MS, () => resolve(false));
    const answer = (alive: boolean): void => {
      timer.cancel();
      resolve(alive);
    };
    session.once('close', () => answer(false));
    if (!session.ping((error) => answer(error === null))) answer(false);
  });
}
