/**
 * One link a gateway, whatever addresses lead to it: the configured URL and the one in the node document may be the
 * same process, and a gateway refuses a second live link of one key.
 */
export interface GatewayRegistry {
  /** Undefined when another link has this gateway; else what gives it back. */
  claim(gatewayId: string): (() => void) | undefined;
  isHeld(gatewayId: string | undefined): boolean;
  /** Whether there is a link to any gateway. */
  readonly any: boolean;
  /** Resolves when no link has `gatewayId`; at once for undefined. Rejects when the signal aborts. */
  untilFree(gatewayId: string | undefined, signal: AbortSignal): Promise<void>;
}

export function createGatewayRegistry(): GatewayRegistry {
  const held = new Set<string>();
  let waiting: (() => void)[] = [];
  return {
    claim(gatewayId) {
      if (held.has(gatewayId)) return undefined;
      held.add(gatewayId);
      return () => {
        if (!held.delete(gatewayId)) return;
        const woken = waiting;
        waiting = [];
        for (const wake of woken) wake();
      };
    },
    get any() {
      return held.size > 0;
    },
    isHeld: (gatewayId) => gatewayId !== undefined && held.has(gatewayId),
    async untilFree(gatewayId, signal) {
      while (gatewayId !== undefined && held.has(gatewayId)) {
        await new Promise<void>((resolve, reject) => {
          waiting.push(resolve);
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
          if (signal.aborted) reject(signal.reason as Error);
        });
      }
    },
  };
}
