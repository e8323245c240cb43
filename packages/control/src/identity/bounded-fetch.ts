/** What openid-client speaks HTTP with: https, or plain on loopback; no redirects, bounded in time and bytes. */
import type { CustomFetch } from 'openid-client';
import { request } from 'undici';
import { isFetchable } from '../facts/fetch-text.ts';

const TIMEOUT_MS = 10_000;
const MAX_BYTES = 1_048_576;

export const boundedFetch: CustomFetch = async (url, { method, headers, body, signal }) => {
  if (!isFetchable(url)) throw new Error('only https, or http on loopback, is fetched');
  const sent = body instanceof URLSearchParams ? body.toString() : body;
  if (sent !== undefined && sent !== null && typeof sent !== 'string') throw new Error('only text is sent');
  const response = await request(url, {
    method: method === 'POST' ? 'POST' : 'GET',
    headers: { ...headers },
    body: sent ?? null,
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
    reset: true,
    signal: signal ?? AbortSignal.timeout(2 * TIMEOUT_MS),
  });
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of response.body as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > MAX_BYTES) throw new Error(`more than ${MAX_BYTES} bytes`);
      parts.push(part);
    }
  } finally {
    response.body.destroy();
  }
  const answered = new Headers();
  for (const [name, value] of Object.entries(response.headers))
    for (const each of Array.isArray(value) ? value : [value ?? '']) answered.append(name, each);
  const isEmpty = response.statusCode === 204 || response.statusCode === 304;
  return new Response(isEmpty ? null : Buffer.concat(parts), { status: response.statusCode, headers: answered });
};
