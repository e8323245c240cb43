/** A command line of the real CLI against a network that runs, as somebody. */
import { type Ran, runCaptured } from '@subcloud/cli/testing/run-captured';
import type { Clock } from '@subcloud/kit/clock';
import type { TestNetwork } from '@subcloud/testkit/test-network';

export interface CommandLine {
  (...argv: string[]): Promise<Ran>;
  /** Must succeed; the answer with `--json`. */
  json<Value = unknown>(...argv: string[]): Promise<Value>;
}

export function commandLine({ url, clock }: Pick<TestNetwork, 'url' | 'clock'>, credential: string): CommandLine {
  return commandLineOf({ SUBCLOUD_URL: url, SUBCLOUD_TOKEN: credential }, clock);
}

export function commandLineOf(env: Readonly<Record<string, string>>, clock: Clock): CommandLine {
  const run = (...argv: string[]): Promise<Ran> => runCaptured(argv, { env, clock });
  return Object.assign(run, {
    json: async <Value>(...argv: string[]): Promise<Value> => {
      const { exitCode, stdout, stderr } = await run(...argv, '--json');
      if (exitCode !== 0 || stderr !== '') throw new Error(`subcloud ${argv.join(' ')}: ${exitCode} ${stderr}`);
      return JSON.parse(stdout) as Value;
    },
  });
}
