import type { IncomingMessage } from 'node:http';
import type * as z from 'zod';
import { AppError } from '@subcloud/contract/errors';

/** The JSON body of a gateway's request. Throws client.too_large, client.invalid_body, client.invalid_request. */
export async function readBody<Schema extends z.ZodType>(
  request: IncomingMessage,
  schema: Schema,
  maxBytes: number,
): Promise<z.infer<Schema>> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.byteLength;
    if (bytes > maxBytes) throw new AppError('client.too_large');
    parts.push(part);
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch {
    throw new AppError('client.invalid_body');
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success)
    throw new AppError('client.invalid_request', {
      message: `the report has another shape: ${parsed.error.issues[0]?.path.join('.') ?? ''}`,
    });
  return parsed.data;
}
