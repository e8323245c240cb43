/** Engines that are no script: processes with real models, each joined to a test's network by a real agent. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type RunningAgent, agentOptions, runAgent } from '@subcloud/agent/run';
import { systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { silentLog } from '@subcloud/kit/log';
import type { TestNetwork } from './test-network.ts';

const folder = fileURLToPath(new URL('../../../demo-engine', import.meta.url));

/** False where it was not installed (`npm test` does that): its tests do not run then. */
export const hasDemoEngine = existsSync(`${folder}/node_modules/node-llama-cpp`);
export const DEMO_MODEL = 'subcloud-demo';
export const DEMO_EMBEDDING = 'subcloud-demo-embedding';

export interface RealEngine extends AsyncDisposable {
  /** `http://host:port`, without a path. */
  readonly url: string;
  readonly process: ChildProcess;
}

/** This project's demo engine. Resolves when it listens. */
export async function startDemoEngine(): Promise<RealEngine> {
  const child = spawn(process.execPath, [`${folder}/src/main.ts`], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const { host, port } = (JSON.parse(line) as { listening: { host: string; port: number } }).listening;
  return { url: `http://${host}:${port}`, process: child, [Symbol.asyncDispose]: () => ended(child) };
}

/** Kills it where it still runs. Resolves when it is gone. */
export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** An agent of `user:admin` for an engine that runs already. */
export async function joinEngine(network: TestNetwork, url: string, name: string): Promise<RunningAgent> {
  const { joinToken } = await network.admin.call('createJoinToken', { body: { operator: 'user:admin' } });
  const flags = {
    url: network.url,
    joinToken,
    dataDir: join(network.dataDir, 'agents', name),
    name,
    engines: [{ url }],
    hardware: 'none',
  };
  const config = loadConfig(agentOptions, { flags });
  return runAgent({ clock: network.clock, random: systemRandom, log: silentLog, config });
}
