/**
 * The only place that writes to the terminal. stdout carries answers and nothing else: with `--json` exactly one JSON
 * document, else text for people. Errors and progress go to stderr.
 */
import type { Writable } from 'node:stream';
import { CliError, ownerInWords } from './cli-error.ts';

export interface Output {
  readonly isJson: boolean;
  /** The command's one answer: `json` as it is with `--json`, else the text of `forPeople`. */
  result<Value>(json: Value, forPeople: (value: Value) => string): void;
  /** A piece of an answer that comes bit by bit; not with `--json`. */
  piece(text: string): void;
  /** For people who wait, on stderr. */
  progress(text: string): void;
  failure(error: unknown): void;
}

export interface OutputStreams {
  readonly stdout: Pick<Writable, 'write'>;
  readonly stderr: Pick<Writable, 'write'>;
}

export function createOutput(streams: OutputStreams, isJson: boolean): Output {
  return {
    isJson,
    result(json, forPeople) {
      streams.stdout.write(isJson ? `${JSON.stringify(json)}\n` : endLine(forPeople(json)));
    },
    piece(text) {
      if (!isJson) streams.stdout.write(printable(text));
    },
    progress(text) {
      streams.stderr.write(endLine(text));
    },
    failure(error) {
      const told = tell(error);
      streams.stderr.write(isJson ? `${JSON.stringify({ error: told })}\n` : inSentences(told));
    },
  };
}

interface Told {
  readonly code: string;
  readonly message: string;
  readonly owner: string;
  readonly next: string | null;
  readonly details: unknown;
  readonly requestId: string | null;
}

/** Errors of the SDK are known by their form: importing it here would make `--help` wait for it. */
function tell(error: unknown): Told {
  if (error instanceof CliError) {
    const { code, message, next, details } = error;
    return { code, message, owner: ownerInWords(code), next, details, requestId: null };
  }
  if (error instanceof Error && error.name === 'ApiError') {
    const { code, advice, details, requestId } = error as Error & {
      readonly code: string;
      readonly advice: string | null;
      readonly details: unknown;
      readonly requestId: string | null;
    };
    return { code, message: error.message, owner: ownerInWords(code), next: advice, details, requestId };
  }
  if (error instanceof Error && error.name === 'ConnectionError') return tellConnection(error);
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: 'platform.internal',
    message,
    owner: ownerInWords('platform.internal'),
    next: 'Report it with the command and this message.',
    details: null,
    requestId: null,
  };
}

const CONNECTION_ADVICE: Readonly<Record<string, readonly [code: string, next: string]>> = {
  unreachable: ['upstream.unreachable', 'Check the address, and that the network is running there (`subcloud up`).'],
  untrusted: [
    'config.untrusted',
    'Check the address; for a self-made certificate pass --pin with the key that `subcloud up` prints.',
  ],
  timeout: ['upstream.timeout', 'Try again; a change may have been made all the same, so read the state first.'],
  unexpected_answer: ['upstream.unexpected_answer', 'Check that the address is that of a network of this release.'],
};

function tellConnection(error: Error): Told {
  const fault = 'fault' in error ? String(error.fault) : 'unreachable';
  const [code, next] = CONNECTION_ADVICE[fault] ?? ['upstream.unreachable', 'Check the address.'];
  return { code, message: error.message, owner: ownerInWords(code), next, details: null, requestId: null };
}

function inSentences(told: Told): string {
  return [
    `error: ${told.message}`,
    `  fault: ${told.owner} (${told.code})`,
    ...(told.next === null ? [] : [`  next:  ${told.next}`]),
    ...(told.requestId === null ? [] : [`  request: ${told.requestId}`]),
    '',
  ]
    .map(printable)
    .join('\n');
}

export type Cell = string | number | boolean | null | undefined;

/** A table for people: columns as wide as their widest cell. An empty one says so. */
export function table(header: readonly string[], rows: readonly (readonly Cell[])[], empty = 'none'): string {
  if (rows.length === 0) return empty;
  const cells = [header.map((title) => title.toUpperCase()), ...rows.map((row) => row.map(cellText))];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** `name: value` lines with aligned values; null and undefined show as `-`. */
export function fields(pairs: readonly (readonly [name: string, value: Cell])[]): string {
  const width = Math.max(0, ...pairs.map(([name]) => name.length)) + 1;
  return pairs.map(([name, value]) => `${`${name}:`.padEnd(width)}  ${cellText(value)}`).join('\n');
}

function cellText(value: Cell): string {
  if (value === null || value === undefined || value === '') return '-';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return printable(String(value)).replaceAll('\n', ' ');
}

/** Names and answers come from others: a control character in them could move the cursor or rename the window. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- exactly these are to be found
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd');
}

function endLine(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}
