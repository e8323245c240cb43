import type { IncomingMessage } from 'node:http';
import { ApiError } from './api-error.ts';

/** Long conversations are a few kilobytes; this model's whole context is less than 8. */
export const maxBodyBytes = 1024 * 1024;

/**
 * Reads a JSON body of bounded size.
 *
 * @throws ApiError 413, 415 or 400; the rest of a body that is too long is not read
 */
export async function readJsonBody(request: IncomingMessage): Promise<unknown> {
  // A web page can make a browser post plain text to a server on the same machine, but not JSON.
  if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) {
    throw new ApiError(415, 'The content type must be application/json.', { code: 'unsupported_media_type' });
  }
  if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw tooLarge();
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch {
    throw new ApiError(400, 'The body is not valid JSON.', { code: 'invalid_json' });
  }
}

function tooLarge(): ApiError {
  return new ApiError(413, `The body is larger than ${maxBodyBytes} bytes.`, { code: 'body_too_large' });
}
