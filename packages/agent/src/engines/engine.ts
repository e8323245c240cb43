/** What the agent needs of an engine, whatever its make. One file an implementation. */
import type { Dispatcher } from 'undici';

export interface Engine {
  readonly url: string;
  /** Network id → the engine's own name. Empty while the engine is away. */
  readonly models: ReadonlyMap<string, string>;
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
