/** What a scripted engine can be told to do. `hang` and the like concern chat only: it still lists its models. */
import type { IncomingMessage, ServerResponse } from 'node:http';

interface Answer {
  /** Default: a sentence that names the engine and the model. */
  readonly text?: string;
  /** How many content chunks a streamed answer has; default 4. */
  readonly chunks?: number;
  /** Between two chunks; default none. */
  readonly pacingMs?: number;
  /** Sent beside the engine's own headers, also those that must not reach a caller. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** What it calls the model in its answers; default: what it was asked for. */
  readonly answersAs?: string;
}

export type EngineBehaviour =
  | ({ readonly kind: 'ok' } & Answer)
  | ({ readonly kind: 'slow-first-byte'; readonly delayMs: number } & Answer)
  /** Answers, but leaves out `usage`, whatever was asked for. */
  | ({ readonly kind: 'no-usage' } & Answer)
  /** Takes the request and says nothing. */
  | { readonly kind: 'hang' }
  /** Nothing listens any more. */
  | { readonly kind: 'refuse' }
  | { readonly kind: 'reset-before-headers' }
  /** The connection breaks after so many chunks; 0: right after the headers. */
  | ({ readonly kind: 'reset-mid-stream'; readonly afterChunks: number } & Answer)
  /** A stream that ends like a whole one, but has no `[DONE]` and no finish reason. */
  | ({ readonly kind: 'cut-clean'; readonly afterChunks: number } & Answer)
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly body?: unknown;
      readonly headers?: Readonly<Record<string, string | readonly string[]>>;
    }
  | { readonly kind: 'malformed-sse' }
  /** An answer of about this many bytes, sent as fast as it is read. */
  | { readonly kind: 'huge'; readonly bytes: number }
  /** Reads the request's body only after this long. */
  | ({ readonly kind: 'slow-reader'; readonly delayMs: number } & Answer)
  | {
      readonly kind: 'custom';
      readonly answer: (request: { readonly body: unknown }, response: ServerResponse<IncomingMessage>) => void;
    };
export type AnswerOptions = Answer;
