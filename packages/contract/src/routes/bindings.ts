/** Bindings: offered by a manifest, accepted by who is bound, ended by either side. */
import * as z from 'zod';
import { boundId, subcloudName } from '../vocabulary.ts';
import { defineRoutes } from './route.ts';
import { pageOf, pageQuery, time, withdrawal } from './shapes.ts';

export const bindingShape = z.strictObject({
  id: z.string(),
  subcloud: subcloudName,
  /** A principal, or `token:ID` of one credential. */
  bound: boundId,
  state: z.enum(['offered', 'active', 'declined', 'ended']),
  since: time,
  changedBy: z.string(),
  /** Whether it is the caller's to accept or decline. */
  yours: z.boolean(),
});
export type Binding = z.infer<typeof bindingShape>;

const byId = z.strictObject({ id: z.string().max(64) });
/** A binding that comes, goes or changes moves traffic: it is complete when every gateway routes by it. */
const changed = z.strictObject({ binding: bindingShape, withdrawal });

export const bindingsRoutes = defineRoutes({
  listBindings: {
    method: 'get',
    path: '/api/v1/bindings',
    auth: 'credential',
    action: 'binding.list',
    summary: "Bindings that are the caller's to answer, and those of Subclouds that it manages",
    query: pageQuery.extend({ subcloud: subcloudName.optional() }),
    status: 200,
    response: pageOf(bindingShape),
    errors: [],
  },
  acceptBinding: {
    method: 'post',
    path: '/api/v1/bindings/{id}/accept',
    auth: 'credential',
    action: 'binding.accept',
    summary: 'Accept a binding: from then on all traffic of who is bound goes there and nowhere else',
    params: byId,
    status: 200,
    response: changed,
    errors: ['client.not_found', 'client.conflict'],
  },
  declineBinding: {
    method: 'post',
    path: '/api/v1/bindings/{id}/decline',
    auth: 'credential',
    action: 'binding.decline',
    summary: 'Decline a binding that is offered',
    params: byId,
    status: 200,
    response: changed,
    errors: ['client.not_found', 'client.conflict'],
  },
  endBinding: {
    method: 'delete',
    path: '/api/v1/bindings/{id}',
    auth: 'credential',
    action: 'binding.end',
    summary: 'End a binding, from either side',
    params: byId,
    status: 200,
    response: changed,
    errors: ['client.not_found'],
  },
});
