/** Says again what the node is whenever that changes, and at half of the time for which the network believes it. */
import { DECLARATION_VALID_MS } from '@subcloud/contract/documents';
import type { Clock } from '@subcloud/kit/clock';
import type { EngineFleet } from './engines/engine-fleet.ts';
import type { Hardware } from './hardware/watch-hardware.ts';
import type { LiveSettings } from './settings.ts';

export function watchForChanges(of: {
  readonly settings: LiveSettings;
  readonly engines: EngineFleet;
  readonly hardware: Hardware;
  readonly clock: Clock;
  readonly declare: () => void;
}): { stop(): void } {
  const { settings, engines, hardware, clock, declare } = of;
  let engineSettings = JSON.stringify(settings.current.engines);
  let waiting = false;
  let stopped = false;
  // Changes of one turn of the loop are one declaration.
  const soon = (): void => {
    if (waiting || stopped) return;
    waiting = true;
    queueMicrotask(() => {
      waiting = false;
      if (!stopped) declare();
    });
  };
  settings.onChange(() => {
    const next = JSON.stringify(settings.current.engines);
    if (next !== engineSettings) {
      engineSettings = next;
      void engines.use(settings.current.engines);
    }
    void hardware.use(settings.current.hardware);
    soon();
  });
  engines.onChange(soon);
  hardware.onChange(soon);
  const renewing = clock.every(DECLARATION_VALID_MS / 2, soon);
  return {
    stop() {
      stopped = true;
      renewing.cancel();
    },
  };
}
