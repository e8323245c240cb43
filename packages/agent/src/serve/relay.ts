/**
 * Hands one request to an engine and its answer back, with back-pressure both ways and without waiting for more than
 * the next chunk. Either side's end is the other's: a caller that leaves stops the engine, and an answer that breaks
 * off is broken off here, too, never ended as if it were whole.
 */
import type { ServerHttp2Stream } from 'node:http2';
import { AppError } from '@subcloud/contract/errors';
import { RESPONSE_HEADERS, busyFor } from '@subcloud/contract/inference';
import type { Clock } from '@subcloud/kit/clock';
import type { Dispatcher } from 'undici';
import { LINK_CONTINUES, LINK_HEADERS } from '@subcloud/contract/link';
import { type Engine, isRefusedConnection } from '../engines/engine.ts';
import { breakOff } from './refusal.ts';
import type { ReceiptMeter } from './receipts.ts';
import { createModelRewriter, rewrittenForm } from './rewrite-model.ts';

/** From dispatch to the first byte: long prompts on busy engines take minutes. */
export const FIRST_BYTE_TIMEOUT_MS = 600_000;
/** Between two chunks, whether the engine or the reader is the one who stalls. */
export const STALL_TIMEOUT_MS = 300_000;

export interface RelayRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly continues: boolean;
  /** Of an internal API, not an engine: its 401 and 403 are its own matter. */
  readonly isApi?: true;
  /** Network id, which the answer must carry. */
  readonly model: string;
  /** Of the node's half of the receipt. */
  readonly meter?: ReceiptMeter | undefined;
}

export interface RelayTarget {
  readonly engine: Pick<Engine, 'inFlight' | 'dispatch' | 'unreachable'>;
  /** What it calls the model. */
  readonly name: string;
}

/**
 * Resolves when the stream has ended, whole or broken. Rejects with AppError when the engine failed before anything of
 * an answer was sent, so that the caller of this can still answer.
 */
export function relay(
  stream: ServerHttp2Stream,
  picked: RelayTarget,
  request: RelayRequest,
  clock: Clock,
): Promise<void> {
  const { engine } = picked;
  return new Promise((resolve, reject) => {
    let control: Dispatcher.DispatchController | undefined;
    let over = false;
    /** The engine's answer is whole. */
    let ended = false;
    let status = 0;
    let rewrite: ((chunk: Buffer) => Buffer) | undefined;
    let movedMs = clock.monotonicMs();
    /** An engine's refusal is no answer: another node is asked, or this one again. */
    const isAnswer = (): boolean => request.isApi === true || (status >= 200 && status < 300);
    const finish = (error?: AppError): void => {
      if (over) return;
      over = true;
      if (!ended && isAnswer()) request.meter?.broken(status);
      watch.cancel();
      stream.off('drain', onDrain);
      stream.off('close', onClose);
      engine.inFlight--;
      if (error === undefined) resolve();
      else reject(error);
    };
    const fail = (error: AppError): void => {
      if (over) return;
      const answered = stream.headersSent;
      if (answered && !stream.destroyed) breakOff(stream);
      finish(answered || stream.destroyed ? undefined : error);
      control?.abort(error);
    };
    const onDrain = (): void => {
      movedMs = clock.monotonicMs();
      control?.resume();
    };
    const onClose = (): void => {
      finish();
      control?.abort(new Error('the caller left'));
    };
    // One coarse look instead of a timer that every chunk would have to set anew.
    const watch = clock.every(STALL_TIMEOUT_MS / 10, () => {
      const limitMs = stream.headersSent ? STALL_TIMEOUT_MS : FIRST_BYTE_TIMEOUT_MS;
      if (clock.monotonicMs() - movedMs >= limitMs) {
        fail(new AppError('upstream.timeout', { message: 'The engine did not answer in time.' }));
      }
    });
    engine.inFlight++;
    stream.on('drain', onDrain);
    stream.on('close', onClose);
    if (stream.destroyed) {
      onClose();
      return;
    }
    engine.dispatch(request, {
      onRequestStart(controller) {
        control = controller;
        if (over) controller.abort(new Error('the caller left'));
      },
      onResponseStart(_controller, answered, headers) {
        if (over || answered < 200) return;
        status = answered;
        movedMs = clock.monotonicMs();
        const unusable = unusableAnswer(status, headers, request.isApi === true);
        if (unusable !== undefined) {
          fail(unusable);
          return;
        }
        const form = picked.name === request.model ? undefined : rewrittenForm(text(headers['content-type']));
        if (form !== undefined) rewrite = createModelRewriter(form, request.model);
        const answer: Record<string, string | number> = { ':status': status };
        // Of a 503 it would say that the node is busy, which its engine cannot know.
        if (status === 429) Object.assign(answer, busyFor(status, headers['retry-after']));
        if (request.continues) answer[LINK_HEADERS.continues] = LINK_CONTINUES;
        for (const name of RESPONSE_HEADERS) {
          const value = text(headers[name]);
          if (value !== undefined && !(name === 'content-length' && rewrite !== undefined)) answer[name] = value;
        }
        stream.respond(answer);
      },
      onResponseData(controller, chunk) {
        if (over) return;
        movedMs = clock.monotonicMs();
        const bytes = rewrite === undefined ? chunk : rewrite(chunk);
        request.meter?.sent(bytes);
        if (bytes.byteLength > 0 && !stream.write(bytes)) controller.pause();
      },
      onResponseEnd() {
        if (over) return;
        ended = true;
        if (isAnswer()) request.meter?.whole(status);
        // Unread answers stay in memory until the reader has them; the place is free when it has.
        stream.end();
      },
      onResponseError(_controller, error) {
        if (over) return;
        if (isRefusedConnection(error)) engine.unreachable();
        fail(new AppError('upstream.failed', { message: 'The engine of this node failed.', cause: error }));
      },
    });
  });
}

/** Answers that a caller must not see as they are: redirects, the engine's own authentication, encodings nobody asked for. */
function unusableAnswer(
  status: number,
  headers: Record<string, string | string[] | undefined>,
  isApi: boolean,
): AppError | undefined {
  if (status >= 300 && status < 400) return failed('The engine of this node answered with a redirect.');
  if (!isApi && (status === 401 || status === 403 || status === 407))
    return failed('The engine of this node refuses its agent.');
  const encoding = text(headers['content-encoding'])?.toLowerCase();
  if (encoding !== undefined && encoding !== 'identity')
    return failed('The engine of this node answered in an encoding.');
  return undefined;
}

function failed(message: string): AppError {
  return new AppError('upstream.failed', { message });
}

function text(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
