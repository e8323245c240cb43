/** Today's control, gateway and agents on what a recorded network left: its rows, keys, folders and time. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RunningAgent, agentOptions, runAgent } from '@subcloud/agent/run';
import { controlOptions, runControl } from '@subcloud/control/run';
import { gatewayOptions, runGateway } from '@subcloud/gateway/run';
import { systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { silentLog } from '@subcloud/kit/log';
import { createClient } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { type Recorded, clockAfter, writeFiles } from './recorded.ts';

const ADDRESSES: Readonly<Record<string, string>> = { berlin: '127.0.1.5', boston: '127.0.3.5' };

export async function startUpgraded(
  recorded: Recorded,
  { folder, databaseUrl }: { readonly folder: string; readonly databaseUrl: string },
) {
  writeFiles(folder, recorded.files);
  const clock = clockAfter(recorded);
  const shared = { clock, random: systemRandom, log: silentLog };
  const dataDir = join(folder, 'control');
  const control = await runControl({
    ...shared,
    config: loadConfig(controlOptions, { flags: { dataDir, databaseUrl } }),
  });
  const gateway = await runGateway({
    ...shared,
    config: loadConfig(gatewayOptions, {
      flags: { dataDir: join(folder, 'gateway'), controlDir: join(dataDir, 'run'), port: 0 },
    }),
  });
  await eventually('the gateway has a table', () => gateway.ready());
  const { adminToken } = JSON.parse(readFileSync(join(dataDir, 'credentials.json'), 'utf8')) as { adminToken: string };
  const admin = createClient({ url: gateway.url, credential: adminToken });
  const engine = await startScriptedEngine({ models: ['test-model'], name: 'engine' });
  const agents: RunningAgent[] = [];
  return {
    admin,
    gateway,
    async startAgent(name: string): Promise<void> {
      const flags = {
        url: gateway.url,
        joinToken: recorded.meaning.joinToken,
        dataDir: join(folder, 'agents', name),
        name,
        engines: [{ url: engine.url }],
        localAddress: ADDRESSES[name],
        labels: { rack: name },
        consent: {
          autoJoin: 'all',
          isolation: 'isolate',
          join: [
            { name: 'apart', isolation: 'isolate' },
            { name: 'brief', isolation: 'shared' },
          ],
        },
        hardware: 'none',
      };
      agents.push(await runAgent({ ...shared, config: loadConfig(agentOptions, { flags }) }));
    },
    /** Status of a request to the pool. */
    async chat(pool: string, secret: string): Promise<number> {
      const path = pool === 'global' ? '/v1/chat/completions' : `/s/${pool}/v1/chat/completions`;
      const response = await fetch(`${gateway.url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'test-model', messages: [{ role: 'user', content: 'hello' }] }),
      });
      await response.text();
      return response.status;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await Promise.all(agents.map((agent) => agent.stop()));
      await admin.close();
      await gateway.stop();
      await control.stop();
      await engine.close();
      clock[Symbol.dispose]();
    },
  };
}
