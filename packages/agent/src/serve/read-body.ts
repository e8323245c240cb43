/** The body of a request, whole: the model in it can only be checked when all of its keys have been seen. */
import type { ServerHttp2Stream } from 'node:http2';
import { AppError } from '@subcloud/contract/errors';
import { MAX_BODY_BYTES } from '@subcloud/contract/inference';
import type { Clock } from '@subcloud/kit/clock';
import { joinInTurns } from '@subcloud/kit/turns';
import type { Admission } from './admission.ts';

/** A body that is not here by then gives its place to others. */
const BODY_TIMEOUT_MS = 120_000;

export interface HeldBody {
  readonly bytes: Buffer;
  /** Gives the memory back to the budget; may be called twice. */
  release(): void;
}

/** Rejects with AppError (400, 413, 429), or with any error when the stream ends early. */
export function readBody(
  stream: ServerHttp2Stream,
  admission: Admission,
  clock: Clock,
  maxBytes = MAX_BODY_BYTES,
): Promise<HeldBody> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let held = 0;
    const release = (): void => {
      admission.release(held);
      held = 0;
    };
    const timeout = clock.after(BODY_TIMEOUT_MS, () => {
      fail(new AppError('client.invalid_body', { message: 'The body did not arrive in time.' }));
    });
    const fail = (error: Error): void => {
      timeout.cancel();
      release();
      parts.length = 0;
      stream.off('data', onData);
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      try {
        if (held + chunk.byteLength > maxBytes) {
          throw new AppError('client.too_large', { message: `The body is larger than ${maxBytes} bytes.` });
        }
        admission.hold(chunk.byteLength);
      } catch (error) {
        fail(error as Error);
        return;
      }
      held += chunk.byteLength;
      parts.push(chunk);
    };
    stream.on('data', onData);
    stream.once('end', () => {
      // An aborted stream may end, too: half a body is none.
      if (stream.aborted) return;
      timeout.cancel();
      joinInTurns(parts, held).then((bytes) => resolve({ bytes, release }), fail);
    });
    stream.once('close', () => fail(new Error('the stream was closed before the body was complete')));
  });
}
