/** Which credentials were used when: noted in memory, told to control at most once a minute, never while a caller waits. */
import type { ReportEvent } from '@subcloud/contract/watch';
import type { Clock } from '@subcloud/kit/clock';

const TELL_MS = 60_000;
/** Credentials that are told in one minute; the others are told when they are used again. */
const MAX_TOLD = 10_000;

export interface LastUse {
  note(credential: string, atMs: number): void;
  stop(): void;
}

export function noteLastUse(clock: Clock, report: (event: ReportEvent) => void): LastUse {
  const used = new Map<string, number>();
  const timer = clock.every(TELL_MS, () => {
    if (used.size === 0) return;
    report({ type: 'used', credentials: [...used] });
    used.clear();
  });
  return {
    note(credential, atMs) {
      if (used.size < MAX_TOLD || used.has(credential)) used.set(credential, Math.round(atMs));
    },
    stop: () => timer.cancel(),
  };
}
