/** Who calls, and for which action: found by the hash of the credential, never by anything else. */
import { AppError } from '@subcloud/contract/errors';
import type { Action } from '@subcloud/contract/routes/actions';
import { hashSecret, sameHash, secretKind } from '@subcloud/kit/secrets';
import type { PrincipalId } from '@subcloud/policy/principal';
import { isBannedCaller } from '../world/bans.ts';
import type { World } from '../world/world.ts';

/** `admin`: the admin token, which acts for nobody. */
export type Who =
  | { readonly kind: 'admin' }
  /** `credential`: the id of the key, or `session`. */
  | { readonly kind: 'principal'; readonly principal: PrincipalId; readonly credential: string }
  | { readonly kind: 'joinToken' }
  | { readonly kind: 'anonymous' };

/** `action` is the route's: what a handler asks of authorise.ts is asked for it, so handlers carry no rights of their own. */
export type Actor = Who & { readonly action: Action };

/** Who is behind an `authorization` header. Throws client.unauthenticated for a credential that nobody has issued. */
export function identify(world: World, adminTokenHash: string, authorization: string | undefined, nowMs: number): Who {
  if (authorization === undefined || authorization === '') return { kind: 'anonymous' };
  const match = /^Bearer ([\x21-\x7e]{1,256})$/i.exec(authorization);
  const secret = match?.[1] ?? '';
  const kind = secretKind(secret);
  const hash = hashSecret(secret);
  if (kind === 'admin' && sameHash(hash, adminTokenHash)) return { kind: 'admin' };
  const credential = kind === 'account' ? world.credentials.get(hash) : undefined;
  if (
    credential === undefined ||
    credential.kind !== 'account' ||
    (credential.expiresAt !== null && credential.expiresAt <= nowMs)
  ) {
    throw new AppError(
      'client.unauthenticated',
      kind === 'subcloud'
        ? { message: 'A Subcloud token opens inference only; the control API takes an account key or the admin token.' }
        : {},
    );
  }
  if (isBannedCaller(world, credential.principal))
    throw new AppError('policy.forbidden', { message: 'This account is banned from the network.' });
  return { kind: 'principal', principal: credential.principal, credential: credential.id };
}

export function actorName(actor: Who): string {
  return actor.kind === 'principal' ? actor.principal : actor.kind;
}
