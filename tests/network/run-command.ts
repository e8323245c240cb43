/** A command line of the real CLI against a network that runs, as somebody. */
import { Readable } from 'node:stream';
import { runCli } from '@subcloud/cli/run-cli';
import { type Clock, systemRandom } from '@subcloud/kit/clock';
import type { TestNetwork } from '@subcloud/testkit/test-network';

export interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandLine {
  (...argv: string[]): Promise<Ran>;
  /** Must succeed; the answer with `--json`. */
  json<Value = unknown>(...argv: string[]): Promise<Value>;
}

export function commandLine({ url, clock }: Pick<TestNetwork, 'url' | 'clock'>, credential: string): CommandLine {
  return commandLineOf({ SUBCLOUD_URL: url, SUBCLOUD_TOKEN: credential }, clock);
}

export function commandLineOf(env: Readonly<Record<string, string>>, clock: Clock): CommandLine {
  const run = async (...argv: string[]): Promise<Ran> => {
    let stdout = '';
    let stderr = '';
    const exitCode = await runCli({
      argv,
      env,
      stdin: Readable.from(['']),
      stdout: { write: (text: string) => ((stdout += text), true) },
      stderr: { write: (text: string) => ((stderr += text), true) },
      clock,
      random: systemRandom,
      endNow: () => undefined,
      onSignal: () => () => undefined,
    });
    return { exitCode, stdout, stderr };
  };
  return Object.assign(run, {
    json: async <Value>(...argv: string[]): Promise<Value> => {
      const { exitCode, stdout, stderr } = await run(...argv, '--json');
      if (exitCode !== 0 || stderr !== '') throw new Error(`subcloud ${argv.join(' ')}: ${exitCode} ${stderr}`);
      return JSON.parse(stdout) as Value;
    },
  });
}
