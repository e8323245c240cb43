import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { AppError } from '@subcloud/contract/errors';
import type { CredentialRow } from '@subcloud/contract/table';
import { hashSecret, secretKind } from '@subcloud/kit/secrets';
import type { RoutingTable } from '../table/routing-table.ts';

const BEARER = /^bearer +(\S+)$/i;

/** What a connection said last, and its hash: a caller says the same with each of its requests. */
const said = new WeakMap<Socket, { readonly authorization: string; readonly hash: string }>();

/** The hash by which the table knows the caller's credential. Throws `client.unauthenticated`. */
export function credentialHash({ headers, socket }: Pick<IncomingMessage, 'headers' | 'socket'>): string {
  const { authorization } = headers;
  const before = said.get(socket);
  // Only who has said it on this connection can learn from the time of this comparison.
  if (before !== undefined && before.authorization === authorization) return before.hash;
  const hash = hashOf(headers);
  if (authorization !== undefined) said.set(socket, { authorization, hash });
  return hash;
}

function hashOf(headers: IncomingHttpHeaders): string {
  const secret = BEARER.exec(headers.authorization ?? '')?.[1];
  if (secret === undefined || secret.length > 128) throw new AppError('client.unauthenticated');
  const kind = secretKind(secret);
  if (kind !== 'account' && kind !== 'subcloud') throw new AppError('client.unauthenticated');
  return hashSecret(secret);
}

/**
 * Whom the credential acts for, by this table at this moment. Looked up by the hash of 256 random bits, so the look-up's
 * time tells nothing. Throws `client.unauthenticated`, the same for one that never was, was revoked or has expired.
 */
export function authenticate(table: RoutingTable, hash: string, controlNowMs: number): CredentialRow {
  const credential = table.credentials.get(hash);
  if (credential === undefined || (credential.expiresAt !== null && credential.expiresAt <= controlNowMs)) {
    throw new AppError('client.unauthenticated');
  }
  return credential;
}
