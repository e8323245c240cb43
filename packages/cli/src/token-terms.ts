import type { OutputFor } from '@subcloud/sdk/client';
import { CliError } from './cli-error.ts';

type TokenTerms = Pick<OutputFor<'listTokens'>['items'][number], 'scopes' | 'models' | 'limits'>;
type Scope = NonNullable<TokenTerms['scopes']>[number];
const SCOPES = ['chat', 'completions', 'embeddings', 'models', 'apis'] as const satisfies readonly Scope[];

export interface TermOptions {
  readonly scope?: readonly string[];
  readonly model?: readonly string[];
  readonly limit?: readonly string[];
}

/** What a token is narrowed to, from the command line. Throws CliError for a word that is none. */
export function termsOf({ scope, model, limit }: TermOptions): TokenTerms {
  const scopes = scope?.map((name) => {
    const known = SCOPES.find((each) => each === name);
    if (known === undefined) throw wrong(`there is no scope ${name}`, `one of ${SCOPES.join(', ')}`);
    return known;
  });
  const limits = limit?.map((text): [string, number] => {
    const [, name = '', number = ''] = /^(\w+)=(\d{1,12})$/.exec(text) ?? [];
    if (name === '') throw wrong(`${text} is no limit`, 'for example requestsPerMinute=60');
    return [name, Number(number)];
  });
  return {
    ...(scopes === undefined ? {} : { scopes }),
    ...(model === undefined ? {} : { models: [...model] }),
    ...(limits === undefined ? {} : { limits: Object.fromEntries(limits) }),
  };
}

export function termsText({ scopes, models, limits }: TokenTerms): string {
  return [
    ...(scopes ?? []),
    ...(models ?? []),
    ...Object.entries(limits ?? {}).map(([name, most]) => `${name}=${String(most)}`),
  ].join(', ');
}

function wrong(message: string, next: string): CliError {
  return new CliError({ code: 'client.invalid_request', message, next: `Write ${next}.` });
}
