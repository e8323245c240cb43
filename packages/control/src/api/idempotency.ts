/**
 * Idempotency-Key: a write that is sent again with the key of one that was done gets that one's answer and does nothing.
 * The key is taken in the transaction of the change, so a change that was made has its key, whatever died then.
 *
 * An answer may hold a secret that is shown once (a key, a token). It is stored encrypted with what only the caller has,
 * its credential and the idempotency key; of both the store has hashes alone.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { AppError } from '@subcloud/contract/errors';
import type { Clock } from '@subcloud/kit/clock';
import type { Transaction } from '../loop.ts';
import type { Database } from '../store/database.ts';

export const IDEMPOTENCY_KEPT_MS = 86_400_000;
const KEY = /^[\x21-\x7e]{1,255}$/;
const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export interface StoredAnswer {
  readonly status: number;
  readonly body: string;
}

/** What a handler's output is replaced by where there is an answer to repeat. */
export class Replayed {
  readonly answer: StoredAnswer;
  constructor(answer: StoredAnswer) {
    this.answer = answer;
  }
}

export interface IdempotentWrite {
  /** The first statement of the change. Throws client.conflict where another request with the key came first. */
  readonly take: (tx: Transaction) => Promise<void>;
  /** After the change: what a repetition is answered. */
  readonly store: (answer: StoredAnswer) => Promise<void>;
  readonly end: () => void;
}

export interface IdempotencyQuestion {
  readonly key: string;
  /** Who calls, by name; keys of others are others' keys. */
  readonly caller: string;
  /** The secret that the caller has shown; empty where the route takes none. */
  readonly credential: string;
  readonly requestId: string;
  /** Method, path and content of the request. */
  readonly content: string;
}

export interface IdempotencyKeys {
  /** The answer to repeat, or the write to do. Throws client.idempotency_key_reused, client.idempotency_in_doubt. */
  begin(question: IdempotencyQuestion): Promise<StoredAnswer | IdempotentWrite>;
}

export function createIdempotencyKeys(db: Database, clock: Clock): IdempotencyKeys {
  const running = new Set<string>();
  return {
    async begin({ key, caller, credential, requestId, content }) {
      if (!KEY.test(key))
        throw new AppError('client.invalid_request', {
          message: 'idempotency-key: 1 to 255 printable ASCII characters without spaces.',
          param: 'idempotency-key',
        });
      const id = sha256(`${caller}\n${key}`);
      // With the key, which the store does not have: content may hold a password, whose bare hash could be guessed at.
      const fingerprint = sha256(`${key}\n${content}`);
      const secret = Buffer.from(
        hkdfSync('sha256', `${credential}\n${key}`, Buffer.from(id, 'hex'), 'subcloud/v1/idempotency', 32),
      );
      if (running.has(id)) throw inDoubt('A request with this key is being answered right now.', 1);
      running.add(id);
      try {
        const known = await db
          .selectFrom('idempotency_keys')
          .select(['fingerprint', 'request_id', 'status', 'answer'])
          .where('id', '=', id)
          .where('created_at', '>', clock.nowMs() - IDEMPOTENCY_KEPT_MS)
          .executeTakeFirst();
        if (known !== undefined) {
          if (known.fingerprint !== fingerprint) throw new AppError('client.idempotency_key_reused');
          const body = known.answer === null ? undefined : decrypted(secret, known.answer);
          if (known.status === null || body === undefined)
            throw inDoubt(
              `The change of request ${known.request_id} was made, and its answer was lost: read the state, or the audit log.`,
            );
          running.delete(id);
          return { status: known.status, body };
        }
      } catch (error) {
        running.delete(id);
        throw error;
      }
      return {
        async take(tx) {
          const row = { fingerprint, request_id: requestId, created_at: clock.nowMs(), status: null, answer: null };
          const taken = await tx
            .insertInto('idempotency_keys')
            .values({ id, ...row })
            // One that is too old to count is in the way no more.
            .onConflict((conflict) =>
              conflict
                .column('id')
                .doUpdateSet(row)
                .where('idempotency_keys.created_at', '<=', clock.nowMs() - IDEMPOTENCY_KEPT_MS),
            )
            .returning('id')
            .executeTakeFirst();
          if (taken === undefined) throw inDoubt('Another request with this key has come first.', 1);
        },
        async store({ status, body }) {
          await db
            .updateTable('idempotency_keys')
            .set({ status, answer: encrypted(secret, body) })
            .where('id', '=', id)
            .execute();
        },
        end: () => void running.delete(id),
      };
    },
  };
}

function inDoubt(message: string, retryAfterS?: number): AppError {
  return new AppError('client.idempotency_in_doubt', {
    message,
    ...(retryAfterS === undefined ? {} : { retryAfterS }),
  });
}

function encrypted(secret: Buffer, text: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, secret, nonce);
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), body]);
}

/** Undefined where it was encrypted with another credential. */
function decrypted(secret: Buffer, stored: Buffer): string | undefined {
  try {
    const decipher = createDecipheriv(CIPHER, secret, stored.subarray(0, NONCE_BYTES));
    decipher.setAuthTag(stored.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    const body = stored.subarray(NONCE_BYTES + TAG_BYTES);
    return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
