/** Finds stop sequences in a text that arrives in pieces, and holds back what may turn out to be the beginning of one. */
export class StopScanner {
  readonly #stops: readonly string[];
  #held = '';

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** The text that can be given out now. When `stopped`, it ends before the sequence, and nothing follows. */
  push(text: string): { readonly text: string; readonly stopped: boolean } {
    const all = this.#held + text;
    const cut = this.#firstCompleted(all);
    if (cut !== undefined) {
      this.#held = '';
      return { text: all.slice(0, cut), stopped: true };
    }
    const keep = this.#beginningAtEnd(all);
    this.#held = all.slice(all.length - keep);
    return { text: all.slice(0, all.length - keep), stopped: false };
  }

  /** What was held back when the text ended without a stop sequence. */
  flush(): string {
    const rest = this.#held;
    this.#held = '';
    return rest;
  }

  /**
   * Where the sequence begins that is complete first; of two that end together, the longer one counts. So the outcome does not depend
   * on how the text is cut into pieces.
   */
  #firstCompleted(text: string): number | undefined {
    let first: { readonly begin: number; readonly end: number } | undefined;
    for (const stop of this.#stops) {
      const begin = text.indexOf(stop);
      const end = begin + stop.length;
      if (begin < 0) continue;
      if (first === undefined || end < first.end || (end === first.end && begin < first.begin)) first = { begin, end };
    }
    return first?.begin;
  }

  /** The length of the longest end of `text` that begins a stop sequence. */
  #beginningAtEnd(text: string): number {
    const longest = Math.max(0, ...this.#stops.map((stop) => stop.length - 1));
    for (let length = Math.min(longest, text.length); length > 0; length -= 1) {
      const end = text.slice(text.length - length);
      if (this.#stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
