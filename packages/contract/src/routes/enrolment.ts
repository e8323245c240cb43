/** How a node comes in: the one route that agents call, in a file of its own so that they carry no other. */
import * as z from 'zod';
import { publicKeyText, signedDocument, trustChain } from '../documents.ts';
import { principalId } from '../vocabulary.ts';
import { defineRoutes } from './route.ts';
import { name, nodeIdShape } from './shapes.ts';

export const enrolmentRoutes = defineRoutes({
  enrol: {
    method: 'post',
    path: '/api/v1/enrolments',
    auth: 'join',
    action: 'node.enrol',
    summary: 'Enrol a node with a join token',
    body: z.strictObject({
      /** The secret of the join token, without the fingerprint: that part is for the agent to check the network by. */
      joinToken: z.string().max(256),
      publicKey: publicKeyText,
      name,
      /** Ed25519 signature by the node key over `subcloud/v1/enrol\n<SHA-256 hex of the join token's secret>\n<publicKey>`. */
      proof: z.string().max(128),
      agentVersion: z.string().max(64),
    }),
    status: 201,
    response: z.strictObject({ node: nodeIdShape, operator: principalId, chain: trustChain, document: signedDocument }),
    errors: ['policy.join_refused', 'client.conflict'],
  },
});
