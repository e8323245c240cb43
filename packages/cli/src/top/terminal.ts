/**
 * A terminal that is drawn on and given back as it was: alternate screen, hidden cursor, keys one by one. Given back is it
 * however the drawing ends, by an exception or a signal too.
 */
import type { ReadStream, WriteStream } from 'node:tty';

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_TO_END_OF_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

export type TerminalIn = Pick<ReadStream, 'on' | 'off' | 'setRawMode' | 'resume' | 'pause'>;
export type TerminalOut = Pick<WriteStream, 'on' | 'off' | 'write' | 'columns' | 'rows'>;

export class Terminal implements Disposable {
  readonly #input: TerminalIn;
  readonly #output: TerminalOut;
  readonly #onData: (chunk: Buffer | string) => void;
  readonly #onResize: () => void;

  constructor(
    streams: { readonly input: TerminalIn; readonly output: TerminalOut },
    listen: { readonly onKey: (key: string) => void; readonly onResize: () => void },
  ) {
    this.#input = streams.input;
    this.#output = streams.output;
    this.#onResize = listen.onResize;
    this.#onData = (chunk) => {
      for (const key of chunk.toString()) listen.onKey(key);
    };
    this.#output.write(ENTER);
    this.#input.setRawMode(true);
    this.#input.on('data', this.#onData);
    this.#input.resume();
    this.#output.on('resize', this.#onResize);
  }

  get columns(): number {
    return this.#output.columns;
  }

  get rows(): number {
    return this.#output.rows;
  }

  /** At most as many lines as there are rows, each no longer than a row. One write, so that nothing flickers. */
  draw(lines: readonly string[]): void {
    this.#output.write(`${HOME}${lines.map((line) => `${line}${CLEAR_TO_END_OF_LINE}`).join('\r\n')}${CLEAR_BELOW}`);
  }

  [Symbol.dispose](): void {
    this.#input.off('data', this.#onData);
    this.#output.off('resize', this.#onResize);
    this.#input.setRawMode(false);
    this.#input.pause();
    this.#output.write(LEAVE);
  }
}
