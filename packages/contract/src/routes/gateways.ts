/** Gateways on machines of their own: who they are, the tokens that enrol them, and taking one out. */
import * as z from 'zod';
import { gatewayId } from '../watch.ts';
import { defineRoutes } from './route.ts';
import { name, pageOf, pageQuery, time, withdrawal } from './shapes.ts';

export const gatewayShape = z.strictObject({
  id: z.string(),
  name: z.string().nullable(),
  /** Where agents and callers reach it; null before it has first asked for a certificate. */
  url: z.string().nullable(),
  /** How it reaches control: over TLS with a key of its own, or by the sockets in control's folder. */
  by: z.enum(['tls', 'socket']),
  publicKey: z.string().nullable(),
  enrolledAt: time.nullable(),
  removedAt: time.nullable(),
  /** Its watch is open at this moment. */
  watching: z.boolean(),
  /** When its right to serve ends unless it is renewed; null: it has none. */
  leaseEndsAt: time.nullable(),
  /** The newest table that it has acknowledged. */
  tableVersion: z.int().nullable(),
});
export type GatewaySummary = z.infer<typeof gatewayShape>;

export const gatewaysRoutes = defineRoutes({
  listGateways: {
    method: 'get',
    path: '/api/v1/gateways',
    auth: 'credential',
    action: 'gateway.list',
    summary: 'Gateways of the network, removed ones too',
    query: pageQuery,
    status: 200,
    response: pageOf(gatewayShape),
    errors: [],
  },
  removeGateway: {
    method: 'delete',
    path: '/api/v1/gateways/{id}',
    auth: 'credential',
    action: 'gateway.remove',
    summary: 'Take a gateway out of the network; its key never returns',
    params: z.strictObject({ id: gatewayId }),
    status: 200,
    response: withdrawal,
    errors: ['client.not_found', 'client.conflict'],
  },
  createGatewayToken: {
    method: 'post',
    path: '/api/v1/gateway-tokens',
    auth: 'credential',
    action: 'gatewayToken.create',
    summary: 'Make a token that enrols one gateway; it is shown once',
    body: z.strictObject({
      /** What the gateway is called in lists. */
      name: name.optional(),
      expiresInS: z.int().positive().max(2_592_000).default(86_400),
    }),
    status: 201,
    response: z.strictObject({ id: z.string(), gatewayToken: z.string(), expiresAt: time }),
    errors: [],
  },
  listGatewayTokens: {
    method: 'get',
    path: '/api/v1/gateway-tokens',
    auth: 'credential',
    action: 'gatewayToken.list',
    summary: 'Gateway tokens, without their secrets',
    query: pageQuery,
    status: 200,
    response: pageOf(
      z.strictObject({
        id: z.string(),
        name: z.string().nullable(),
        createdAt: time,
        expiresAt: time,
        revokedAt: time.nullable(),
        /** The gateway that it enrolled: a token is good for one. */
        gateway: z.string().nullable(),
      }),
    ),
    errors: [],
  },
  revokeGatewayToken: {
    method: 'delete',
    path: '/api/v1/gateway-tokens/{id}',
    auth: 'credential',
    action: 'gatewayToken.revoke',
    summary: 'Revoke a gateway token; a gateway that it enrolled stays',
    params: z.strictObject({ id: z.string().max(64) }),
    status: 200,
    response: z.strictObject({ revokedAt: time }),
    errors: ['client.not_found'],
  },
});
