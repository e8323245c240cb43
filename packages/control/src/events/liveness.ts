/**
 * Tells the event log which nodes came and went. Liveness is in memory alone, and a link that breaks for a moment is
 * nothing to tell: only what has lasted is, so that a restart of a gateway or of control writes nothing. What was told last
 * is stored with the node, so that it is told once whatever restarts.
 */
import { sql } from 'kysely';
import type { Loop } from '../loop.ts';
import type { PassContext } from '../pass.ts';
import { type NewEvent, insertEvents } from '../store/events.ts';
import { type NodeRecord, isOnline } from '../world/world.ts';
import { absenceCounts } from '../membership/absence.ts';

/** So long it must have lasted. */
export const LIVENESS_LASTS_MS = 60_000;
const MAX_AT_ONCE = 1_000;

/** `since`: since when a node is otherwise than was told, by its id, on the monotonic clock; kept from call to call. */
export async function tellLiveness(
  { world, loop, clock, startedAtMs }: Pick<PassContext, 'world' | 'clock' | 'startedAtMs'> & { readonly loop: Loop },
  since: Map<string, number>,
): Promise<void> {
  const nowMs = clock.monotonicMs();
  const counts = absenceCounts(world, startedAtMs, clock.nowMs());
  const due: NodeRecord[] = [];
  for (const node of world.nodes.values()) {
    if (isOnline(world, node.id) === node.toldOnline) since.delete(node.id);
    else if (node.toldOnline && !counts) continue;
    else if (!since.has(node.id)) since.set(node.id, nowMs);
    else if (nowMs - (since.get(node.id) ?? nowMs) >= LIVENESS_LASTS_MS && due.length < MAX_AT_ONCE) due.push(node);
  }
  for (const id of since.keys()) if (!world.nodes.has(id)) since.delete(id);
  if (due.length === 0) return;
  await loop.change(async (tx) => {
    const told = due.filter(({ id, toldOnline }) => world.nodes.has(id) && isOnline(world, id) !== toldOnline);
    if (told.length > 0) {
      await sql`update nodes set told_online = not told_online where id = any(${told.map(({ id }) => id)}::text[])`.execute(
        tx,
      );
      await insertEvents(tx, told.map(eventOf), clock.nowMs());
    }
    return {
      result: undefined,
      touched: [],
      apply: () => {
        for (const node of told) {
          node.toldOnline = !node.toldOnline;
          since.delete(node.id);
        }
      },
    };
  });
}

function eventOf({ id, toldOnline, lastSeenAtMs }: NodeRecord): NewEvent {
  return {
    kind: toldOnline ? 'node.offline' : 'node.online',
    node: id,
    subcloud: null,
    actor: 'control',
    reason: toldOnline ? 'no link' : 'linked',
    detail: lastSeenAtMs === null ? {} : { lastSeenAt: new Date(lastSeenAtMs).toISOString() },
  };
}
