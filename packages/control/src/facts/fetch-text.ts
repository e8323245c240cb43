/** A small public document over HTTP: https, or plain on loopback; no redirects, bounded in time and bytes. */
import { request } from 'undici';

/** Rejects on anything but a 200 within the bounds. */
export type FetchText = (url: string) => Promise<string>;

const TIMEOUT_MS = 5_000;
const MAX_BYTES = 262_144;

export const fetchText: FetchText = async (url) => {
  if (!isFetchable(url)) throw new Error('only https, or http on loopback, is fetched');
  const response = await request(url, {
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
    // No connection is kept: this is asked once an hour.
    reset: true,
    headers: { accept: 'application/json' },
    signal: AbortSignal.timeout(2 * TIMEOUT_MS),
  });
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
    for await (const part of response.body as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > MAX_BYTES) throw new Error(`more than ${MAX_BYTES} bytes`);
      parts.push(part);
    }
  } finally {
    response.body.destroy();
  }
  return Buffer.concat(parts).toString('utf8');
};

export function isFetchable(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  return protocol === 'https:' || (protocol === 'http:' && /^(?:127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(hostname));
}
