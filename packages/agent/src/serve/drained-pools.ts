/**
 * Says when this node has nothing in flight any more in the pools that it is leaving, so that what they held of it ends
 * with the last answer and not with a timeout. Over all links: an answer of any gateway counts.
 */
import type { CurrentDocument, DocumentPosition } from '../state/current-document.ts';
import type { Admission } from './admission.ts';

export interface DrainedPools extends DocumentPosition {
  readonly pools: readonly string[];
}

/** Calls `say` whenever the answer changes; `now` undefined: there is nothing to say. */
export function watchDrainedPools(of: {
  readonly document: CurrentDocument;
  readonly admission: Admission;
  readonly say: () => void;
}): { now(): DrainedPools | undefined } {
  const { document, admission, say } = of;
  const now = (): DrainedPools | undefined => {
    const pools = document.draining().filter((pool) => admission.inFlightOf(pool) === 0);
    return pools.length === 0 ? undefined : { ...document.position, pools };
  };
  let said = '';
  const look = (): void => {
    const found = now();
    const text = JSON.stringify(found ?? null);
    if (text === said) return;
    said = text;
    if (found !== undefined) say();
  };
  document.onChange(look);
  admission.onLeave(look);
  return { now };
}
