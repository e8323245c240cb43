/** A real agent with a folder of its own, linked to a peer gateway, for tests of the agent alone. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AgentConfig, type RunningAgent, type Served, agentOptions, runAgent } from '@subcloud/agent/run';
import { type Clock, type Random, systemClock, systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { type Log, silentLog } from '@subcloud/kit/log';
import { eventually } from './eventually.ts';

export interface TestAgentOptions {
  readonly url: string;
  readonly joinToken?: string;
  /** As code gives it; what is left out has its default. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Default: a new folder that goes with the agent. */
  readonly dataDir?: string;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
  /** False: resolves without waiting for a link. */
  readonly untilLinked?: boolean;
  /** Where tools that report on the machine are looked for; `hardware` is `none` unless the config says otherwise. */
  readonly toolFolders?: readonly string[];
  readonly signal?: AbortSignal;
}

export interface TestAgent extends RunningAgent {
  readonly served: readonly Served[];
  readonly dataDir: string;
}

export async function startTestAgent(options: TestAgentOptions): Promise<TestAgent> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'agent-'));
  const config: AgentConfig = loadConfig(agentOptions, {
    flags: {
      url: options.url,
      joinToken: options.joinToken,
      dataDir,
      engines: [],
      hardware: 'none',
      ...options.config,
    },
  });
  const served: Served[] = [];
  const forget = (): void => {
    if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
  };
  try {
    const agent = await runAgent({
      config,
      clock: options.clock ?? systemClock,
      random: options.random ?? systemRandom,
      log: options.log ?? silentLog,
      ...(options.toolFolders === undefined ? {} : { toolFolders: options.toolFolders }),
      observe: { onServe: (one) => served.push(one) },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const stop = async (): Promise<void> => {
      await agent.stop();
      forget();
    };
    if (options.untilLinked !== false) await eventually('the agent is linked', () => agent.linked());
    return { ...agent, served, dataDir, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    forget();
    throw error;
  }
}
