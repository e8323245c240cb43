/** The event log: as pages, newest first, and as a stream of server-sent events, oldest first. */
import * as z from 'zod';
import { subcloudName } from '../vocabulary.ts';
import { defineRoutes } from './route.ts';
import { nodeIdShape, pageOf, pageQuery, time } from './shapes.ts';

export const eventShape = z.strictObject({
  /** Opaque and stable: also where a stream goes on after it (`last-event-id`). */
  id: z.string(),
  at: time,
  kind: z.string(),
  node: z.string().nullable(),
  /** Its name; its id where it is gone. */
  subcloud: z.string().nullable(),
  /** The account, team or organisation that it is about, where it is about one. */
  principal: z.string().nullable(),
  /** Null: somebody whom the reader does not know. */
  actor: z.string().nullable(),
  reason: z.string(),
  detail: z.unknown(),
});
export type NetworkEvent = z.infer<typeof eventShape>;

/** Kinds or their nouns, separated by commas: `membership,token.revoked`. */
const kinds = z
  .string()
  .max(256)
  .regex(/^[a-z_-]+(?:\.[a-z_]+)?(?:,[a-z_-]+(?:\.[a-z_]+)?)*$/, 'kinds or their nouns, separated by commas');

export const eventsRoutes = defineRoutes({
  listEvents: {
    method: 'get',
    path: '/api/v1/events',
    auth: 'credential',
    action: 'event.list',
    summary:
      'What changed, of what the caller may see: newest first; with `accept: text/event-stream` a stream of it as it happens',
    query: pageQuery.extend({
      node: nodeIdShape.optional(),
      subcloud: subcloudName.optional(),
      kind: kinds.optional(),
      /** Of a stream alone: the id of the event after which it begins, where no `last-event-id` is sent. */
      after: z.string().max(64).optional(),
    }),
    status: 200,
    response: pageOf(eventShape),
    stream: eventShape,
    errors: ['client.not_found', 'client.events_gone', 'capacity.too_many_streams'],
  },
});
