/**
 * Reads a whole body into memory, within the route's limit and the gateway's budget. Every byte taken from the budget is
 * given back by `release`, which the caller of this stage owes in every case.
 */
import type { IncomingMessage } from 'node:http';
import { AppError } from '@subcloud/contract/errors';
import { joinInTurns } from '@subcloud/kit/turns';
import type { ByteBudget } from './byte-budget.ts';
import type { Cancellation } from './cancellation.ts';

export interface HeldBody {
  readonly bytes: Buffer;
  /** Idempotent. */
  release(): void;
}

const RETRY_AFTER_S = 1;
const JSON_TYPE = /^application\/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?$/i;

/** Rejects with AppError, or with the cancellation's reason; the budget is then whole again. */
export function readBody(
  request: IncomingMessage,
  limits: { readonly maxBytes: number; readonly budget: ByteBudget },
  cancellation: Cancellation,
): Promise<HeldBody> {
  return new Promise((resolve, reject) => {
    const { maxBytes, budget } = limits;
    let heldBytes = 0;
    const chunks: Buffer[] = [];
    const release = (): void => {
      budget.give(heldBytes);
      heldBytes = 0;
    };
    const fail = (error: unknown): void => {
      request.off('data', onData).off('end', onEnd);
      cancellation.unlisten(fail);
      chunks.length = 0;
      release();
      reject(AppError.from(error));
    };
    const onData = (chunk: Buffer): void => {
      if (heldBytes + chunk.byteLength > maxBytes) return fail(tooLarge(maxBytes));
      if (!budget.take(chunk.byteLength)) return fail(overloaded());
      heldBytes += chunk.byteLength;
      chunks.push(chunk);
    };
    const onEnd = (): void => {
      cancellation.unlisten(fail);
      const only = chunks.length === 1 ? chunks[0] : undefined;
      if (only !== undefined) return resolve({ bytes: only, release });
      joinInTurns(chunks, heldBytes).then((bytes) => resolve({ bytes, release }), fail);
    };
    if (cancellation.reason !== undefined) return fail(cancellation.reason);
    try {
      checkHeaders(request, maxBytes);
    } catch (error) {
      return fail(error);
    }
    cancellation.listen(fail);
    request.on('data', onData).on('end', onEnd);
  });
}

function checkHeaders({ headers }: IncomingMessage, maxBytes: number): void {
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') throw new AppError('client.unsupported_media_type');
  if (!JSON_TYPE.test(headers['content-type'] ?? '')) throw new AppError('client.unsupported_media_type');
  if (Number(headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
}

function tooLarge(maxBytes: number): AppError {
  return new AppError('client.too_large', { message: `The body is larger than ${maxBytes} bytes.` });
}

function overloaded(): AppError {
  return new AppError('capacity.overloaded', { retryAfterS: RETRY_AFTER_S });
}
