/**
 * Where the logs of `subcloud up` go: everything to a file a process, and what its reader asked for to stderr, as text.
 */
import { join } from 'node:path';
import type { Clock } from '@subcloud/kit/clock';
import type { Log, LogLevel } from '@subcloud/kit/log';
import { LEVEL_NUMBERS, type LogEntry, entryText, sinkLog } from '../sink-log.ts';
import { type LogFile, openLogFile } from './log-file.ts';

export interface UpLogs {
  /** Of a part that runs in this process. */
  log(name: string): Log;
  /** Takes the lines of a child: JSON as the kit's log writes it, or plain text. */
  lines(name: string): (line: string) => void;
  file(name: string): string;
  close(): void;
}

export interface UpLogsOptions {
  readonly folder: string;
  /** What `tell` gets. */
  readonly level: LogLevel;
  /** One line for stderr. */
  readonly tell: (line: string) => void;
  readonly clock: Clock;
}

export function createUpLogs({ folder, level, tell, clock }: UpLogsOptions): UpLogs {
  const files = new Map<string, LogFile>();
  const threshold = LEVEL_NUMBERS[level];
  const fileThreshold = Math.min(threshold, LEVEL_NUMBERS.info);
  const fileOf = (name: string): LogFile => {
    const found = files.get(name) ?? openLogFile(join(folder, `${name}.log`));
    files.set(name, found);
    return found;
  };
  const show = (name: string, entry: LogEntry): void => {
    if (entry.level >= threshold) tell(`${name}: ${entryText(entry)}`);
  };
  return {
    log: (name) =>
      sinkLog((entry) => {
        const { level: number, message, fields } = entry;
        if (number >= fileThreshold) {
          fileOf(name).line(
            JSON.stringify({ level: number, time: clock.nowMs(), service: name, ...fields, msg: message }),
          );
        }
        show(name, entry);
      }),
    lines: (name) => (line) => {
      fileOf(name).line(line);
      // What is no entry is what a runtime prints, above all when it dies; the exit tells that with its last lines.
      show(name, parseEntry(line) ?? { level: LEVEL_NUMBERS.info, message: line, fields: {} });
    },
    file: (name) => fileOf(name).path,
    close() {
      for (const file of files.values()) file.close();
      files.clear();
    },
  };
}

/** What a service is told to log: at least `info`, since its file holds it. */
export function childLogLevel(level: LogLevel): LogLevel {
  return LEVEL_NUMBERS[level] < LEVEL_NUMBERS.info ? level : 'info';
}

function parseEntry(line: string): LogEntry | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const value = JSON.parse(line) as Record<string, unknown>;
    const { level, msg } = value;
    return typeof level === 'number'
      ? { level, message: typeof msg === 'string' ? msg : '', fields: value }
      : undefined;
  } catch {
    return undefined;
  }
}
