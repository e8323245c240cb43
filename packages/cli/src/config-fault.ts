import { ConfigError } from '@subcloud/kit/config';
import { CliError } from './cli-error.ts';

/** A ConfigError as a command tells it; any other error as it is. */
export function configFault(error: unknown, help: string): unknown {
  if (!(error instanceof ConfigError)) return error;
  return new CliError({
    code: 'config.invalid_option',
    message: error.faults.join('\n'),
    next: `Correct ${error.faults.length === 1 ? 'it' : 'them'}; \`${help}\` lists what there is.`,
    cause: error,
  });
}
