/**
 * One cancellation a request, from the caller's close to the engine's stream: what AbortController does, without an
 * event for each of a handful of listeners. Two of those a request cost more than the scan of its body.
 */
import type { AppError } from '@subcloud/contract/errors';

type Listener = (reason: AppError) => void;

export class Cancellation {
  #reason: AppError | undefined;
  /** Nearly always one: the stage that is waiting. */
  #listeners: readonly Listener[] = [];

  /** Undefined until it is cancelled. */
  get reason(): AppError | undefined {
    return this.#reason;
  }

  /** Tells all that listen, in the order in which they came, once; later reasons are not heard. */
  cancel(reason: AppError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener(reason);
  }

  /** Called at most once. Not called where it is cancelled already: look at `reason` first. */
  listen(listener: Listener): void {
    if (this.#reason === undefined) this.#listeners = [...this.#listeners, listener];
  }

  unlisten(listener: Listener): void {
    if (this.#listeners.length === 1 && this.#listeners[0] === listener) this.#listeners = NONE;
    else if (this.#listeners.length > 0) this.#listeners = this.#listeners.filter((other) => other !== listener);
  }
}

const NONE: readonly Listener[] = [];
