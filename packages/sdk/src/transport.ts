/**
 * HTTP to one network. Everything is bounded: connecting, waiting, and the bytes of an answer. Redirects are not
 * followed, so that a credential reaches the address that was named and no other.
 */
import { createHash } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import { Agent, type Dispatcher, buildConnector } from 'undici';
import { ConnectionError, errorFromEnvelope } from './api-error.ts';

export interface TransportOptions {
  /** For example `http://127.0.0.1:7700`; a path in it is kept as a prefix. */
  readonly url: string;
  readonly credential?: string | undefined;
  /** Used instead of an own one, and then not closed by `close`. */
  readonly dispatcher?: Dispatcher | undefined;
  /**
   * SHA-256, hex, of the subject public key info of the one TLS key that is trusted, for networks whose certificate no
   * authority signed. Checked before a byte of the request is sent; name and dates of the certificate do not count then.
   */
  readonly trustedKeySha256?: string | undefined;
  /** Path of a Unix socket to speak to instead of the URL's address. */
  readonly socketPath?: string | undefined;
}

export interface TransportRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path and query. */
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Longest silence before and inside an answer. */
  readonly idleMs: number;
}

export interface Transport {
  /** Throws ConnectionError where there is no answer. */
  send(request: TransportRequest): Promise<Dispatcher.ResponseData>;
  close(): Promise<void>;
}

export const CONNECT_LIMIT_MS = 10_000;
const MAX_HEADER_BYTES = 16_384;

/** Throws TypeError for a URL that is no http(s) URL. */
export function createTransport(options: TransportOptions): Transport {
  const base = new URL(options.url);
  if (base.protocol !== 'http:' && base.protocol !== 'https:') {
    throw new TypeError(`${options.url} is no http or https address`);
  }
  if (options.trustedKeySha256 !== undefined && base.protocol !== 'https:') {
    throw new TypeError('a trusted TLS key needs an https address');
  }
  const prefix = base.pathname.replace(/\/+$/, '');
  const own = options.dispatcher === undefined ? createDispatcher(options) : undefined;
  const dispatcher = options.dispatcher ?? own;
  return {
    async send({ method, path, body, headers, signal, idleMs }) {
      try {
        return await (dispatcher as Dispatcher).request({
          origin: base.origin,
          path: `${prefix}${path}`,
          method,
          headers: {
            accept: 'application/json',
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
            ...(options.credential === undefined ? {} : { authorization: `Bearer ${options.credential}` }),
            ...headers,
          },
          body: body === undefined ? null : JSON.stringify(body),
          headersTimeout: idleMs,
          bodyTimeout: idleMs,
          signal: signal ?? null,
        });
      } catch (error) {
        throw connectionError(error, base.origin, signal);
      }
    },
    close: async () => {
      await own?.destroy();
    },
  };
}

/** The JSON of an answer of at most `maxBytes`; throws the ApiError that it carries. */
export async function readJson(answer: Dispatcher.ResponseData, origin: string, maxBytes: number): Promise<unknown> {
  const requestId = headerText(answer.headers['x-request-id']);
  const text = await readText(answer, origin, maxBytes);
  let value: unknown;
  let isJson = true;
  try {
    value = JSON.parse(text);
  } catch {
    isJson = false;
  }
  if (answer.statusCode >= 200 && answer.statusCode < 300 && isJson) return value;
  throw (
    errorFromEnvelope(value, answer.statusCode, requestId) ??
    new ConnectionError(
      'unexpected_answer',
      `${origin} answered with status ${answer.statusCode} and no ${isJson ? 'error of a known form' : 'JSON'}`,
    )
  );
}

/** What became of a request that brought no answer. */
export function connectionError(error: unknown, origin: string, signal?: AbortSignal): Error {
  if (error instanceof ConnectionError) return error;
  if (signal?.aborted === true) {
    return isTimeout(signal.reason)
      ? new ConnectionError('timeout', `${origin} did not answer in time`, error)
      : error instanceof Error
        ? error
        : new Error('called off', { cause: error });
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code.startsWith('UND_ERR_') && code.endsWith('_TIMEOUT')) {
    return new ConnectionError('timeout', `${origin} did not answer in time`, error);
  }
  if (/^(DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED|UNABLE_TO_|CERT_|ERR_TLS_CERT)/.test(code)) {
    return new ConnectionError('untrusted', `${origin} shows a certificate that is not trusted (${code})`, error);
  }
  const why = error instanceof Error && error.message !== '' ? error.message : code;
  return new ConnectionError('unreachable', `${origin} cannot be reached: ${why}`, error);
}

async function readText(answer: Dispatcher.ResponseData, origin: string, maxBytes: number): Promise<string> {
  const parts: Buffer[] = [];
  let heldBytes = 0;
  try {
    for await (const chunk of answer.body) {
      const bytes = chunk as Buffer;
      heldBytes += bytes.byteLength;
      if (heldBytes > maxBytes) {
        throw new ConnectionError('unexpected_answer', `${origin} answered with more than ${maxBytes} bytes`);
      }
      parts.push(bytes);
    }
  } catch (error) {
    throw connectionError(error, origin);
  }
  return Buffer.concat(parts, heldBytes).toString('utf8');
}

function createDispatcher({ url, trustedKeySha256, socketPath }: TransportOptions): Dispatcher {
  const limits = { connections: 8, maxHeaderSize: MAX_HEADER_BYTES };
  const connect = { timeout: CONNECT_LIMIT_MS, ...(socketPath === undefined ? {} : { socketPath }) };
  if (trustedKeySha256 === undefined) return new Agent({ ...limits, connect });
  const wanted = trustedKeySha256.toLowerCase();
  // The key is compared below, in place of the checks by authority and name that a self-made certificate cannot pass.
  // A resumed session shows no certificate to compare, so none is kept.
  const connectTls = buildConnector({ ...connect, rejectUnauthorized: false, maxCachedSessions: 0 });
  return new Agent({
    ...limits,
    connect: (target, callback) => {
      connectTls(target, (error, socket) => {
        if (error !== null) return callback(error, null);
        if (socket instanceof TLSSocket && tlsKeySha256(socket) === wanted) return callback(null, socket);
        socket.destroy();
        callback(new ConnectionError('untrusted', `${url} does not hold the TLS key that is trusted for it`), null);
      });
    },
  });
}

/** SHA-256, hex, of the subject public key info that the peer proved to hold. */
function tlsKeySha256(socket: TLSSocket): string | undefined {
  const key = socket.getPeerX509Certificate()?.publicKey.export({ type: 'spki', format: 'der' });
  return key === undefined ? undefined : createHash('sha256').update(key).digest('hex');
}

function headerText(value: string | string[] | undefined): string | null {
  return typeof value === 'string' ? value : (value?.[0] ?? null);
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === 'TimeoutError';
}
