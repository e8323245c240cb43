/**
 * Structured logs, one JSON object a line on stderr: stdout belongs to answers. Nothing of prompts, answers, credentials
 * or headers is ever passed here; what looks like a secret is cut all the same.
 */
import { type Logger, pino } from 'pino';

export type Log = Pick<Logger, 'trace' | 'debug' | 'info' | 'warn' | 'error'> & {
  child(bindings: Record<string, unknown>): Log;
};
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const REDACTED = ['authorization', 'cookie', 'secret', 'token', 'apiKey', 'adminToken', 'password'];

export function createLog(service: string, level: LogLevel = 'info'): Log {
  return pino(
    { level, base: { service }, redact: { paths: REDACTED.flatMap((key) => [key, `*.${key}`]), censor: '[redacted]' } },
    pino.destination({ dest: 2, sync: true }),
  ) as unknown as Log;
}

export const silentLog: Log = pino({ level: 'silent' }) as unknown as Log;
