/** Names of accounts, organisations and teams as people write them on the command line. */
import { CliError } from './cli-error.ts';

/** `acme` or `org:acme` -> `acme`. */
export function orgId(text: string): string {
  return text.replace(/^org:/, '');
}

/** `ann` or `user:ann` -> `ann`. */
export function accountId(text: string): string {
  return text.replace(/^user:/, '');
}

/** `acme/ml` or `team:acme/ml` into its two parts. Throws CliError. */
export function teamId(text: string): { readonly org: string; readonly team: string } {
  const [org, team, ...rest] = text.replace(/^team:/, '').split('/');
  if (org !== undefined && team !== undefined && rest.length === 0) return { org, team };
  throw new CliError({
    code: 'client.invalid_name',
    message: `${JSON.stringify(text.slice(0, 100))} is no team.`,
    next: 'Write ORGANISATION/TEAM.',
  });
}

/** Throws CliError for anything but one of them. */
export function oneOf<const Word extends string>(text: string, words: readonly Word[], what: string): Word {
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  throw new CliError({
    code: 'client.invalid_option',
    message: `${JSON.stringify(text.slice(0, 40))} is no ${what}.`,
    next: `Write one of ${words.join(', ')}.`,
  });
}

export const ROLES = ['owner', 'admin', 'member', 'viewer'] as const;
