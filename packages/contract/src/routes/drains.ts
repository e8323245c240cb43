/** A node out of service by its operator's word: it stays a member of what it is in, and gets nothing new. */
import * as z from 'zod';
import { defineRoutes } from './route.ts';
import { drainShape, nodeIdShape, withdrawal } from './shapes.ts';

const byId = z.strictObject({ id: nodeIdShape });

export const drainsRoutes = defineRoutes({
  drainNode: {
    method: 'post',
    path: '/api/v1/nodes/{id}/drain',
    auth: 'credential',
    action: 'node.drain',
    summary:
      'Take a node out of service: nothing new is sent to it in any pool, answers in flight finish, memberships stay',
    params: byId,
    body: z.strictObject({ reason: z.string().min(1).max(256).optional() }),
    status: 200,
    response: z.strictObject({ node: nodeIdShape, draining: drainShape, withdrawal }),
    errors: ['client.not_found'],
  },
  undrainNode: {
    method: 'delete',
    path: '/api/v1/nodes/{id}/drain',
    auth: 'credential',
    action: 'node.undrain',
    summary: 'Put a drained node into service again; it serves what it is a member of',
    params: byId,
    status: 200,
    response: z.strictObject({ node: nodeIdShape, change: z.enum(['undrained', 'unchanged']) }),
    errors: ['client.not_found'],
  },
});
