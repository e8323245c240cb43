/** Why a request went where it went, as its reader may see it. */
import * as z from 'zod';
import { decisionRecord } from '../watch.ts';
import { clauseShape, nodeIdShape } from './shapes.ts';

const attempt = decisionRecord.shape.attempts.element;

export const requestShape = decisionRecord.extend({
  attempts: z.array(
    attempt.extend({
      /** The node's id; to its caller the pseudonym that the answer carried. */
      node: z.string(),
      considered: z.array(z.strictObject({ node: z.string(), inFlight: z.int() })),
    }),
  ),
  /**
   * For the owner of the pool and the admin: the nodes that the pool considers, and why each was not taken; at most 500.
   * Null for everybody else, and where the pool is gone.
   */
  nodes: z
    .array(
      z.strictObject({
        node: nodeIdShape,
        nodeName: z.string(),
        /** `tried`; `candidate`: it could have served and was not picked; `excluded`. */
        part: z.enum(['tried', 'candidate', 'excluded']),
        state: z.string().nullable(),
        reason: z.string(),
        /** Clauses that fail. */
        failing: z.array(clauseShape),
        /** Whether this is known of the moment of the request, or only of now. */
        asOf: z.enum(['then', 'now']),
      }),
    )
    .nullable(),
});
