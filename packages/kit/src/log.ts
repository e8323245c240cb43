/**
 * Structured logs, one JSON object a line on stderr: stdout belongs to answers. Nothing of prompts, answers, credentials
 * or headers is ever passed here; what looks like a secret is cut all the same.
 */
import { createRequire } from 'node:module';
import type * as Pino from 'pino';

// Loaded when the first log is made: commands and the agent's one file write for people, and do without its memory.
const require = createRequire(import.meta.url);

export type Log = Pick<Pino.Logger, 'trace' | 'debug' | 'info' | 'warn' | 'error'> & {
  child(bindings: Record<string, unknown>): Log;
};
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const REDACTED = ['authorization', 'cookie', 'secret', 'token', 'apiKey', 'adminToken', 'password'];

export function createLog(service: string, level: LogLevel = 'info'): Log {
  const { pino } = require('pino') as typeof Pino;
  return pino(
    { level, base: { service }, redact: { paths: REDACTED.flatMap((key) => [key, `*.${key}`]), censor: '[redacted]' } },
    pino.destination({ dest: 2, sync: true }),
  ) as unknown as Log;
}

const nothing = (): void => undefined;
export const silentLog: Log = {
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => silentLog,
};
