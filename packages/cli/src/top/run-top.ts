import type { Client } from '@subcloud/sdk/client';
import type { CliHost } from '../cli-host.ts';
import type { Output } from '../output.ts';
import { type Load, readLoad } from './load.ts';
import { SORT_KEYS, type SortKey, loadHead, loadLines, screenLines } from './load-table.ts';
import { Terminal, type TerminalIn, type TerminalOut } from './terminal.ts';

export interface TopOptions {
  readonly once: boolean;
  readonly intervalMs: number;
  readonly sort: SortKey;
}

export interface TopContext {
  readonly client: Client;
  readonly host: CliHost;
  readonly output: Output;
}

const MIN_INTERVAL_MS = 500;
const MAX_INTERVAL_MS = 60_000;
/** Gateways hear that somebody looks at their next acknowledgement, and say something a second later. */
const FIRST_REPORTS_MS = 8_000;
const LOOK_AGAIN_MS = 250;
const CTRL_C = '\u0003';

/** Live where stdout is a terminal, else one picture; with `--json` one document a line. Resolves when it is over. */
export async function runTop(context: TopContext, options: TopOptions): Promise<void> {
  const { host, output } = context;
  const stopping = new AbortController();
  const forget = (['SIGINT', 'SIGTERM'] as const).map((signal) => host.onSignal(signal, () => stopping.abort()));
  try {
    const terminal = output.isJson || options.once ? undefined : terminalOf(host);
    if (terminal !== undefined) return await live(context, options, terminal, stopping);
    do {
      const load = await firstReported(context, stopping.signal);
      output.result(load, (shown) => textOf(shown, options.sort));
      if (!options.once && output.isJson) await host.clock.sleep(options.intervalMs, stopping.signal);
    } while (!options.once && output.isJson);
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  } finally {
    for (const stop of forget) stop();
  }
}

function textOf(load: Load, sort: SortKey): string {
  const { pools, nodes } = loadLines(load, sort);
  return [loadHead(load, sort), '', ...pools, '', ...nodes].join('\n');
}

/** With what gateways say, where any does in time; without it, where none does. */
async function firstReported({ client, host }: TopContext, signal: AbortSignal): Promise<Load> {
  const untilMs = host.clock.monotonicMs() + FIRST_REPORTS_MS;
  for (;;) {
    const load = await readLoad(client);
    if (load.windowMs > 0 || host.clock.monotonicMs() >= untilMs) return load;
    await host.clock.sleep(LOOK_AGAIN_MS, signal);
  }
}

function terminalOf({ stdin, stdout }: CliHost): { input: TerminalIn; output: TerminalOut } | undefined {
  const isTerminal = (stream: object): boolean => 'isTTY' in stream && stream.isTTY === true;
  if (!isTerminal(stdin) || !isTerminal(stdout)) return undefined;
  return { input: stdin as unknown as TerminalIn, output: stdout as unknown as TerminalOut };
}

async function live(
  { client, host }: TopContext,
  options: TopOptions,
  streams: { readonly input: TerminalIn; readonly output: TerminalOut },
  stopping: AbortController,
): Promise<void> {
  let { sort, intervalMs } = options;
  let shown: Load | undefined;
  let trouble: string | undefined;
  using terminal = new Terminal(streams, { onKey: (key) => pressed(key), onResize: () => draw() });
  const draw = (): void => {
    const { columns, rows } = terminal;
    const lines = shown === undefined ? ['…'] : screenLines(shown, sort, columns, rows);
    if (trouble !== undefined) lines[lines.length - 1] = trouble.slice(0, columns);
    terminal.draw(lines);
  };
  const pressed = (key: string): void => {
    if (key === 'q' || key === CTRL_C) return stopping.abort();
    if (key === 's') sort = SORT_KEYS[(SORT_KEYS.indexOf(sort) + 1) % SORT_KEYS.length] ?? sort;
    if (key === '+') intervalMs = Math.min(MAX_INTERVAL_MS, intervalMs * 2);
    if (key === '-') intervalMs = Math.max(MIN_INTERVAL_MS, intervalMs / 2);
    draw();
  };
  draw();
  while (!stopping.signal.aborted) {
    try {
      shown = await readLoad(client);
      trouble = undefined;
    } catch (error) {
      // Who watches through a restart of the network goes on watching; the first look must work.
      if (shown === undefined) throw error;
      trouble = error instanceof Error ? error.message : String(error);
    }
    if (stopping.signal.aborted) return;
    draw();
    await host.clock.sleep(intervalMs, stopping.signal);
  }
}
