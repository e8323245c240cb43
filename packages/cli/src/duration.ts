import { CliError } from './cli-error.ts';

const UNIT_S = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/** `90s`, `15m`, `24h`, `30d` to seconds. Throws CliError for anything else. */
export function durationSeconds(text: string): number {
  const match = /^(\d{1,9})(s|m|h|d)$/.exec(text);
  const seconds = match === null ? 0 : Number(match[1]) * UNIT_S[match[2] as keyof typeof UNIT_S];
  if (seconds > 0) return seconds;
  throw new CliError({
    code: 'client.invalid_duration',
    message: `${JSON.stringify(text.slice(0, 40))} is no duration.`,
    next: 'Write a number and its unit: 90s, 15m, 24h or 30d.',
  });
}
