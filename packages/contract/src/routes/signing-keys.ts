/** The keys that sign for the network, below the network key. */
import * as z from 'zod';
import { publicKeyText, signedDocument } from '../documents.ts';
import { defineRoutes } from './route.ts';
import { time } from './shapes.ts';

export const signingKeysShape = z.strictObject({
  networkId: z.string(),
  fingerprint: z.string(),
  /** `offline`: it lies elsewhere, and certificates are signed there. */
  networkKey: z.enum(['here', 'offline']),
  keys: z.array(
    z.strictObject({
      publicKey: publicKeyText,
      state: z.enum(['active', 'next', 'retired']),
      /** Null: the network key has to vouch for it first. */
      notAfter: time.nullable(),
    }),
  ),
});
export type SigningKeys = z.infer<typeof signingKeysShape>;

export const signingKeysRoutes = defineRoutes({
  listSigningKeys: {
    method: 'get',
    path: '/api/v1/signing-keys',
    auth: 'credential',
    action: 'signingKey.list',
    summary: 'The network key and the signing keys that it vouches for',
    status: 200,
    response: signingKeysShape,
    errors: [],
  },
  rotateSigningKey: {
    method: 'post',
    path: '/api/v1/signing-keys',
    auth: 'credential',
    action: 'signingKey.rotate',
    summary: 'Make the next signing key; it signs when all that serve know of it',
    body: z.strictObject({}),
    status: 201,
    response: signingKeysShape,
    errors: ['client.conflict'],
  },
  installSigningKeyCertificate: {
    method: 'put',
    path: '/api/v1/signing-keys/certificate',
    auth: 'credential',
    action: 'signingKey.install',
    summary: 'Install a certificate that the network key signed elsewhere',
    body: z.strictObject({ certificate: signedDocument }),
    status: 200,
    response: signingKeysShape,
    errors: ['client.conflict'],
  },
});
