/** Claims, who may attest, and attestation tokens. */
import * as z from 'zod';
import { ATTESTABLE_FACTS, attesterName, claimSubject, publicKeyText, signedDocument } from '../documents.ts';
import { principalId } from '../vocabulary.ts';
import { defineRoutes } from './route.ts';
import { claimShape, nodeIdShape, pageOf, pageQuery, time, withdrawal } from './shapes.ts';

const byId = z.strictObject({ id: z.string().max(64) });

/** Nodes that an attester may attest about: all, or those of these operators. */
const attesterNodes = z.union([z.literal('all'), z.array(principalId).min(1).max(256)]);

export const attesterShape = z.strictObject({
  name: z.string(),
  /** Null: the network's. Else what it says counts in Subclouds of this principal alone. */
  owner: principalId.nullable(),
  publicKey: publicKeyText,
  facts: z.array(z.enum(ATTESTABLE_FACTS)),
  nodes: attesterNodes,
  createdAt: time,
  revokedAt: time.nullable(),
});

/** A claim as the store has it, and whether it counts. */
export const claimRecord = claimShape.extend({
  /** Null where the subject is a digest. */
  node: nodeIdShape.nullable(),
  digest: z.string().nullable(),
  issuerOwner: principalId.nullable(),
  revokedAt: time.nullable(),
  /** Who revoked it: a principal, `admin`, or `superseded` by a newer claim of the same issuer. */
  revokedBy: z.string().nullable(),
  counted: z.boolean(),
  /** Why it does not count, or where alone it does. */
  why: z.string().nullable(),
});

export const claimsRoutes = defineRoutes({
  createAttester: {
    method: 'post',
    path: '/api/v1/attesters',
    auth: 'credential',
    action: 'attester.create',
    summary: 'Register the public key of an attester and what it may attest',
    body: z.strictObject({
      name: attesterName,
      publicKey: publicKeyText,
      /** Null or absent: the network's, which only the admin makes. */
      owner: principalId.nullable().optional(),
      facts: z.array(z.enum(ATTESTABLE_FACTS)).min(1).max(ATTESTABLE_FACTS.length),
      nodes: attesterNodes.default('all'),
    }),
    status: 201,
    response: attesterShape,
    errors: ['client.not_found', 'client.conflict'],
  },
  listAttesters: {
    method: 'get',
    path: '/api/v1/attesters',
    auth: 'credential',
    action: 'attester.list',
    summary: "The network's attesters, and the caller's own; all for the admin",
    query: pageQuery,
    status: 200,
    response: pageOf(attesterShape),
    errors: [],
  },
  revokeAttester: {
    method: 'delete',
    path: '/api/v1/attesters/{name}',
    auth: 'credential',
    action: 'attester.revoke',
    summary: 'Revoke an attester and every claim that it made',
    params: z.strictObject({ name: z.string().max(64) }),
    status: 200,
    response: withdrawal,
    errors: ['client.not_found'],
  },

  createClaim: {
    method: 'post',
    path: '/api/v1/claims',
    auth: 'credential',
    action: 'claim.create',
    summary: 'Store a signed claim; the admin may send a draft that the network signs',
    body: z.union([
      z.strictObject({ document: signedDocument }),
      z.strictObject({
        draft: z.strictObject({
          subject: claimSubject,
          fact: z.enum(ATTESTABLE_FACTS),
          value: z.unknown(),
          expiresAt: time,
        }),
      }),
    ]),
    maxBodyBytes: 262_144,
    status: 200,
    response: z.strictObject({ change: z.enum(['created', 'unchanged']), claim: claimRecord, withdrawal }),
    errors: ['policy.claim_refused', 'client.not_found', 'client.conflict'],
  },
  listClaims: {
    method: 'get',
    path: '/api/v1/claims',
    auth: 'credential',
    action: 'claim.list',
    summary: "Claims about the caller's nodes and by its attesters; all for the admin",
    query: pageQuery.extend({
      node: nodeIdShape.optional(),
      /** `true`: revoked and superseded ones too. */
      revoked: z.enum(['true', 'false']).default('false'),
    }),
    status: 200,
    response: pageOf(claimRecord),
    errors: ['client.not_found'],
  },
  getClaim: {
    method: 'get',
    path: '/api/v1/claims/{id}',
    auth: 'credential',
    action: 'claim.read',
    summary: 'One claim with the text that its issuer signed',
    params: byId,
    status: 200,
    /** `evidence`: a signed document (for a declared claim the declaration that the node signed last), or an attestation token. */
    response: claimRecord.extend({ evidence: z.unknown() }),
    errors: ['client.not_found'],
  },
  revokeClaim: {
    method: 'delete',
    path: '/api/v1/claims/{id}',
    auth: 'credential',
    action: 'claim.revoke',
    summary: 'Revoke one claim; it is kept for the record',
    params: byId,
    status: 200,
    response: withdrawal,
    errors: ['client.not_found'],
  },
  restoreClaim: {
    method: 'post',
    path: '/api/v1/claims/{id}/restore',
    auth: 'credential',
    action: 'claim.restore',
    summary: 'Lift the revocation of a declared or measured claim',
    params: byId,
    status: 200,
    response: withdrawal,
    errors: ['client.not_found', 'client.conflict'],
  },

  nvidiaChallenge: {
    method: 'post',
    path: '/api/v1/nodes/{id}/attestations/nvidia/challenge',
    auth: 'credential',
    action: 'node.attest',
    readOnly: 'a nonce changes nothing before evidence is sent for it, and lives in memory',
    summary: 'A nonce for NVIDIA attestation evidence, bound to the key of the node',
    params: z.strictObject({ id: nodeIdShape }),
    status: 200,
    response: z.strictObject({
      /** 32 random bytes, hex. */
      challenge: z.string(),
      /** SHA-256 over the challenge's bytes and the node's raw public key, hex: what the evidence must be made with. */
      nonce: z.string(),
      expiresAt: time,
    }),
    errors: ['client.not_found'],
  },
  nvidiaAttestation: {
    method: 'post',
    path: '/api/v1/nodes/{id}/attestations/nvidia',
    auth: 'credential',
    action: 'node.attest',
    summary: 'Store what an NVIDIA attestation token says of the hardware of a node',
    params: z.strictObject({ id: nodeIdShape }),
    body: z.strictObject({
      /** The detached EAT bundle as the attestation service answers it: the overall token, and one token a device. */
      token: z.tuple([
        z.tuple([z.literal('JWT'), z.string().max(16_384)]),
        z.record(z.string().max(64), z.string().max(16_384)),
      ]),
    }),
    maxBodyBytes: 262_144,
    status: 200,
    response: z.strictObject({ change: z.enum(['created', 'unchanged']), claim: claimRecord, withdrawal }),
    errors: ['policy.claim_refused', 'client.not_found', 'client.conflict', 'platform.attestation_unavailable'],
  },
});
