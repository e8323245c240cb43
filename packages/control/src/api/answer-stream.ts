/** A route's answer as a stream of server-sent events, for who accepts nothing less. */
import type { HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { Context } from 'hono';
import { requireCredential, permit } from '../access/authorise.ts';
import type { Actor } from '../access/actor.ts';
import { type EventQuery, eventFilter, placeOf } from '../events/event-view.ts';
import type { EventStreams } from '../events/event-streams.ts';
import type { World } from '../world/world.ts';

export function wantsStream(c: Context): boolean {
  return (c.req.header('accept') ?? '').toLowerCase().includes('text/event-stream');
}

/** `actor`: who the credential belongs to when it is called. Throws as a list of the same does. */
export async function answerStream(
  c: Context,
  given: {
    readonly world: World;
    readonly streams: EventStreams;
    readonly query: unknown;
    readonly actor: () => Actor;
    readonly requestId: string;
  },
): Promise<Response> {
  const { world, streams } = given;
  const query = given.query as EventQuery & { readonly after?: string };
  const actor = (): Actor => {
    const who = given.actor();
    requireCredential(world, who);
    permit(world, who);
    return who;
  };
  const filter = eventFilter(world, actor(), query);
  // The browser's own word comes first: it knows how far this stream had come.
  const last = c.req.header('last-event-id') ?? '';
  const [after, param] = last === '' ? [query.after, 'after'] : [last, 'last-event-id'];
  await streams.open({
    response: (c.env as HttpBindings).outgoing as Parameters<EventStreams['open']>[0]['response'],
    headers: { 'x-request-id': given.requestId },
    actor,
    filter,
    after: after === undefined ? undefined : placeOf(streams.cursors, after, param),
  });
  return RESPONSE_ALREADY_SENT;
}
