/** An event as a reader sees it. */
import { AppError } from '@subcloud/contract/errors';
import type { NetworkEvent } from '@subcloud/contract/routes/events';
import type { Actor } from '../access/actor.ts';
import { knownSubcloud } from '../access/authorise.ts';
import { iso } from '../api/context.ts';
import type { World } from '../world/world.ts';
import type { EventReader } from './audience.ts';
import type { EventCursors } from './cursor.ts';
import type { EventFilter, StoredEvent } from './event-log.ts';

export function eventView(
  { world, cursors, reader }: { readonly world: World; readonly cursors: EventCursors; readonly reader: EventReader },
  event: StoredEvent,
): NetworkEvent {
  const { subcloud } = event;
  return {
    id: cursors.idOf(event.id),
    at: iso(event.atMs),
    kind: event.kind,
    node: event.node?.id ?? null,
    subcloud: subcloud === null ? null : (world.subclouds.get(subcloud.id)?.name ?? subcloud.name),
    principal: event.principal,
    actor: reader.shownActor(event),
    reason: event.reason,
    detail: event.detail,
  };
}

export interface EventQuery {
  readonly node?: string | undefined;
  readonly subcloud?: string | undefined;
  readonly kind?: string | undefined;
}

/** Throws client.not_found for a Subcloud that the actor may not know of. A node that it may not see has no events for it. */
export function eventFilter(world: World, actor: Actor, { node, subcloud, kind }: EventQuery): EventFilter {
  return {
    node,
    subcloud: subcloud === undefined ? undefined : knownSubcloud(actor, world, subcloud).id,
    kinds: kind?.split(','),
  };
}

/** Throws client.invalid_request, or client.events_gone for a place before a restore. */
export function placeOf(cursors: EventCursors, text: string, param: string): number {
  const place = cursors.parse(text);
  if (place === 'foreign') throw new AppError('client.events_gone');
  if (place === undefined)
    throw new AppError('client.invalid_request', { message: `${param} is no id of an event of this network.`, param });
  return place;
}
