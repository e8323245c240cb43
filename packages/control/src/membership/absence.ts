/** Whether it counts for anything that control knows no link of a node. */
import { HEARTBEAT_MS } from '@subcloud/contract/link';
import type { World } from '../world/world.ts';
import { DRAIN_TIMEOUT_MS } from './membership.ts';

/**
 * False until gateways had the time to say what links they have, and while one of them is silent: a gateway that is cut off
 * from control but not from an agent finishes the answers that it has, so what the node is leaving is not over. It lasts as
 * long as answers in flight are waited for at most.
 */
export function absenceCounts({ unheard }: Pick<World, 'unheard'>, startedAtMs: number, nowMs: number): boolean {
  if (nowMs - startedAtMs < HEARTBEAT_MS) return false;
  for (const sinceMs of unheard.values()) if (nowMs - sinceMs < DRAIN_TIMEOUT_MS) return false;
  return true;
}
