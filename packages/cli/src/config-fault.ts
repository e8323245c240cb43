import { ConfigError } from '@subcloud/kit/config';
import { StartError } from '@subcloud/kit/start-error';
import { CliError } from './cli-error.ts';

/** A ConfigError or StartError as a command tells it; any other error as it is. */
export function configFault(error: unknown, help: string): unknown {
  if (error instanceof StartError) {
    const { code, happened, next } = error;
    return new CliError({ code, message: happened, next, cause: error });
  }
  if (!(error instanceof ConfigError)) return error;
  return new CliError({
    code: 'config.invalid_option',
    message: error.faults.join('\n'),
    next: `Correct ${error.faults.length === 1 ? 'it' : 'them'}; \`${help}\` lists what there is.`,
    cause: error,
  });
}
