/** What the agent needs of an engine, whatever its make. One file an implementation. */
import type { Dispatcher } from 'undici';
import type { OwnLoad } from './engine-load.ts';
import type { ModelTraits } from './engine-make.ts';

export interface Engine {
  readonly url: string;
  /** Network id → the engine's own name. Empty while the engine is away. */
  readonly models: ReadonlyMap<string, string>;
  /** By network id, for exactly these models: what the engine says of them. */
  readonly traits: ReadonlyMap<string, ModelTraits>;
  /** What it says of its own load; undefined where it says nothing. */
  readonly load: OwnLoad | undefined;
  /** It goes on with an assistant's message where that ends. */
  readonly continues: boolean;
  /** Requests that it is answering for us now. */
  inFlight: number;
  /** Passes one inference request on. `path` is one of the contract's. */
  dispatch(
    request: { readonly path: string; readonly headers: Readonly<Record<string, string>>; readonly body: Uint8Array },
    handler: Dispatcher.DispatchHandler,
  ): void;
  /** A request could not reach it: it counts as away from now, and is looked at again at once. */
  unreachable(): void;
  /** Looks whether it is there and what it has, when it is time. Resolves when no look is under way; never rejects. */
  look(): Promise<void>;
  /** Ends its connections; requests that it still answers are cut. */
  close(): Promise<void>;
}

/** Whether the error says that nothing listens there, rather than that something there is in trouble. */
export function isRefusedConnection(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? error.code : undefined;
  return (
    code === 'ECONNREFUSED' ||
    code === 'EHOSTUNREACH' ||
    code === 'ENETUNREACH' ||
    code === 'ENOTFOUND' ||
    (error instanceof AggregateError && error.errors.some(isRefusedConnection))
  );
}

/** Whether the other end closed the connection instead of answering on it. */
export function isDeadConnection(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE';
}
