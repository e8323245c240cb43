/**
 * The public keys of an attestation service, read from the address that the admin gave. Kept for an hour; a key id that is
 * not among them makes them be read again, but at most once a minute, so that made-up ids cost the service nothing. Keys
 * that could not be read again for a day are not used any more.
 */
import { AppError } from '@subcloud/contract/errors';
import type { Clock } from '@subcloud/kit/clock';
import { type JWTVerifyGetKey, createLocalJWKSet, errors } from 'jose';
import * as z from 'zod';
import type { FetchText } from './fetch-text.ts';

const FRESH_MS = 3_600_000;
const RETRY_MS = 60_000;
const USABLE_MS = 86_400_000;

const usableKey = z.looseObject({ kty: z.enum(['RSA', 'EC', 'OKP']), kid: z.string().min(1).max(256) });
/** Keys of a kind that is not known here are left out: a service may have new ones beside those in use. */
const keySet = z
  .object({ keys: z.array(z.unknown()).max(64) })
  .transform(({ keys }) => ({ keys: keys.filter((key) => usableKey.safeParse(key).success) }))
  .refine(({ keys }) => keys.length > 0, 'has no key that can be used');

/** A key getter for jose. Rejects with AppError platform.attestation_unavailable where there are no keys to check with. */
export function createJwks(options: {
  readonly url: string;
  readonly fetchText: FetchText;
  readonly clock: Clock;
}): JWTVerifyGetKey {
  const { url, fetchText, clock } = options;
  let keys: JWTVerifyGetKey | undefined;
  let readMs = Number.NEGATIVE_INFINITY;
  let askedMs = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;

  const read = (): Promise<void> => {
    reading ??= (async () => {
      askedMs = clock.monotonicMs();
      try {
        const found = keySet.parse(JSON.parse(await fetchText(url)));
        keys = createLocalJWKSet(found as unknown as Parameters<typeof createLocalJWKSet>[0]);
        readMs = askedMs;
      } catch (error) {
        if (keys === undefined || clock.monotonicMs() - readMs > USABLE_MS)
          throw new AppError('platform.attestation_unavailable', { cause: error });
      } finally {
        reading = undefined;
      }
    })();
    return reading;
  };
  const current = async (): Promise<JWTVerifyGetKey> => {
    const nowMs = clock.monotonicMs();
    const due = nowMs - readMs > FRESH_MS && nowMs - askedMs > RETRY_MS;
    if (keys === undefined || due || nowMs - readMs > USABLE_MS || reading !== undefined) await read();
    if (keys === undefined) throw new AppError('platform.attestation_unavailable');
    return keys;
  };

  return async (header, token) => {
    const found = await current();
    try {
      return await found(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || clock.monotonicMs() - askedMs <= RETRY_MS) throw error;
      await read();
      return (keys ?? found)(header, token);
    }
  };
}
