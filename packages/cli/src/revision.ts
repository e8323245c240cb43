import { CliError } from './cli-error.ts';

/** The number of a revision, from 1. Throws CliError. */
export function revisionOf(text: string): number {
  const number = /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined;
  if (number !== undefined) return number;
  throw new CliError({
    code: 'client.usage',
    message: `${JSON.stringify(text)} is no number of a revision.`,
    next: '`subcloud subcloud revisions NAME` lists them.',
  });
}
