import type { IncomingMessage } from 'node:http';
import type { Clock } from '@subcloud/kit/clock';
import type { EngineBehaviour } from './behaviour.ts';

export interface ChatBody {
  readonly body: unknown;
  readonly model: string | undefined;
  readonly requestId: string | undefined;
}

/** Reads the body whole, late where the script says so. Rejects when the caller leaves or sends more than `maxBytes`. */
export async function readChatBody(
  request: IncomingMessage,
  { play, clock, maxBytes, signal }: { play: EngineBehaviour; clock: Clock; maxBytes: number; signal: AbortSignal },
): Promise<ChatBody> {
  if (play.kind === 'slow-reader') await clock.sleep(play.delayMs, signal);
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request) {
    const chunk = part as Buffer;
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new Error('the body is too large');
    parts.push(chunk);
  }
  const text = Buffer.concat(parts).toString('utf8');
  let body: unknown = text;
  try {
    body = JSON.parse(text);
  } catch {
    // Kept as text.
  }
  return { body, model: field(body, 'model'), requestId: field(body, 'user') };
}

function field(body: unknown, name: string): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const value = (body as Record<string, unknown>)[name];
  return typeof value === 'string' ? value : undefined;
}
