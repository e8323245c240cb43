/** Who calls: found by the hash of the credential, never by anything else. */
import { AppError } from '@subcloud/contract/errors';
import { hashSecret, sameHash, secretKind } from '@subcloud/kit/secrets';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { World } from '../world/world.ts';

export type Actor =
  | { readonly kind: 'admin' }
  | { readonly kind: 'principal'; readonly principal: PrincipalId }
  | { readonly kind: 'anonymous' };

/** The actor behind an `authorization` header. Throws client.unauthenticated for a credential that nobody has issued. */
export function identify(
  world: World,
  adminTokenHash: string,
  authorization: string | undefined,
  nowMs: number,
): Actor {
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
  return { kind: 'principal', principal: credential.principal };
}

export function actorName(actor: Actor): string {
  return actor.kind === 'principal' ? actor.principal : actor.kind;
}
