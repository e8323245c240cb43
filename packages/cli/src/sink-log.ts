import { type Log, LOG_LEVELS, type LogLevel } from '@subcloud/kit/log';

/** One call of a log: what a service would write as one line. */
export interface LogEntry {
  /** pino's number. */
  readonly level: number;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** pino's numbers. */
export const LEVEL_NUMBERS: Readonly<Record<LogLevel, number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  silent: 100,
};

/** A log of the kit's form whose entries go to `sink`, for parts that run in the process of the command line. */
export function sinkLog(sink: (entry: LogEntry) => void, bindings: Readonly<Record<string, unknown>> = {}): Log {
  const at =
    (level: LogLevel) =>
    (...given: readonly unknown[]): void => {
      const [first, second] = given;
      const fields = typeof first === 'object' && first !== null ? plain(first) : {};
      const text = typeof first === 'string' ? first : second;
      const message = typeof text === 'string' ? text : '';
      sink({ level: LEVEL_NUMBERS[level], message, fields: { ...bindings, ...fields } });
    };
  return {
    trace: at('trace'),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (more: Record<string, unknown>) => sinkLog(sink, { ...bindings, ...more }),
  } as unknown as Log;
}

/** An entry as a sentence: its level, its message, and what is said beside it of the cause. */
export function entryText({ level, message, fields }: LogEntry): string {
  const cause = fields['err'] ?? fields['error'] ?? fields['cause'] ?? fields['postgres'];
  const hasMessage = typeof cause === 'object' && cause !== null && 'message' in cause;
  const text = hasMessage ? String(cause.message) : typeof cause === 'string' ? cause : undefined;
  const full = text === undefined || message.includes(text) ? message : `${message}: ${text}`;
  return `${LOG_LEVELS.find((name) => LEVEL_NUMBERS[name] === level) ?? level}: ${full}`;
}

/** Errors have no enumerable fields, and would be written as `{}`. */
function plain(fields: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      value instanceof Error ? { type: value.name, message: value.message, stack: value.stack } : (value as unknown),
    ]),
  );
}
