/** One bounded JSON question over an undici dispatcher. Redirects are answers like any other, never followed. */
import type { Clock } from '@subcloud/kit/clock';
import type { Dispatcher } from 'undici';

export interface JsonAnswer {
  readonly status: number;
  /** Undefined where the body is not JSON. */
  readonly body: unknown;
}

/** Throws on connection errors, after `timeoutMs`, and when the body is larger than `maxBytes`. */
export async function requestJson(
  dispatcher: Dispatcher,
  question: {
    readonly method: 'GET' | 'POST';
    readonly path: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: unknown;
    readonly maxBytes: number;
    readonly timeoutMs: number;
    readonly clock: Clock;
    readonly signal?: AbortSignal;
  },
): Promise<JsonAnswer> {
  const { method, path, maxBytes, timeoutMs, clock } = question;
  const giveUp = new AbortController();
  const timer = clock.after(timeoutMs, () => giveUp.abort(new Error(`no answer within ${timeoutMs} ms`)));
  const signal = question.signal === undefined ? giveUp.signal : AbortSignal.any([giveUp.signal, question.signal]);
  try {
    const { statusCode, body } = await dispatcher.request({
      method,
      path,
      headers: {
        accept: 'application/json',
        ...(question.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...question.headers,
      },
      body: question.body === undefined ? null : JSON.stringify(question.body),
      signal,
    });
    const parts: Buffer[] = [];
    let bytes = 0;
    for await (const part of body) {
      const chunk = part as Buffer;
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`);
      parts.push(chunk);
    }
    return { status: statusCode, body: parse(Buffer.concat(parts).toString('utf8')) };
  } finally {
    timer.cancel();
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
