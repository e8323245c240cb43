/** Calls to control over its private channel. Answers are bounded; any failure is an Error, never a guess. */
import { type ClientRequest, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { answerError } from './control-refusal.ts';
import type { ControlTransport } from './control-transport.ts';

const MAX_ANSWER_BYTES = 1_048_576;
const CALL_TIMEOUT_MS = 10_000;

export interface ControlClient {
  /** The parsed JSON of a 2xx answer. Throws on anything else (ControlRefusal where control says no for good). */
  post(path: string, body: unknown): Promise<unknown>;
  /** The same for a body that is JSON text already. */
  postJson(path: string, json: string): Promise<unknown>;
  /** The same for a body that is made while it is sent: requests get a turn of the loop after each part of it. */
  postParts(path: string, parts: Iterable<string>): Promise<unknown>;
  /** The answer to a GET that never ends. */
  open(path: string, onAnswer: (answer: IncomingMessage) => void, onFailure: (error: Error) => void): ClientRequest;
}

export function controlClient(transport: ControlTransport): ControlClient {
  return {
    post: (path, body) => post((options) => transport.request('watch', options), path, JSON.stringify(body)),
    postParts: (path, parts) => post((options) => transport.request('watch', options), path, parts),
    postJson: (path, json) => post((options) => transport.request('watch', options), path, json),
    open(path, onAnswer, onFailure) {
      const call = transport.single('watch', { path, method: 'GET' });
      call.on('error', onFailure);
      call.on('response', onAnswer);
      call.end();
      return call;
    },
  };
}

/** One call on a connection that is given. */
export function postOn(connection: RequestOptions, path: string, text: string): Promise<unknown> {
  return post((options) => request({ ...options, ...connection }), path, text);
}

function post(
  start: (options: RequestOptions) => ClientRequest,
  path: string,
  body: string | Iterable<string>,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    // As bytes: of text Node would count them first, and write them after that.
    const bytes = typeof body === 'string' ? Buffer.from(body) : undefined;
    const length = bytes === undefined ? {} : { 'content-length': bytes.byteLength };
    const call = start({
      path,
      method: 'POST',
      timeout: CALL_TIMEOUT_MS,
      headers: { 'content-type': 'application/json', ...length },
    });
    call.on('timeout', () => call.destroy(new Error(`control did not answer ${path} in ${CALL_TIMEOUT_MS} ms`)));
    call.on('error', reject);
    call.on('response', (answer) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.byteLength;
        if (bytes > MAX_ANSWER_BYTES) call.destroy(new Error(`control's answer to ${path} is too long`));
        else chunks.push(chunk);
      });
      answer.on('error', reject);
      answer.on('end', () => {
        const status = answer.statusCode ?? 0;
        const body = Buffer.concat(chunks).toString('utf8');
        if (status < 200 || status > 299) return reject(answerError(path, status, body));
        try {
          resolve(bytes === 0 ? null : JSON.parse(body));
        } catch {
          reject(new Error(`control's answer to ${path} is not JSON`));
        }
      });
    });
    if (typeof body !== 'string') sendParts(call, body).catch(reject);
    else call.end(bytes);
  });
}

async function sendParts(call: ClientRequest, parts: Iterable<string>): Promise<void> {
  for (const part of parts) {
    const isFull = !call.write(part);
    await new Promise<void>((resolve) => {
      if (!isFull) return void setImmediate(resolve);
      call.once('drain', resolve);
      call.once('close', resolve);
    });
    // Why is told where the call is awaited.
    if (call.destroyed) return;
  }
  call.end();
}
