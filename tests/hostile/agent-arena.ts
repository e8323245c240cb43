/** A real agent with a scripted engine in a process of its own, dialling the gateway that it is given: URL JOIN_TOKEN. */
import { readdirSync } from 'node:fs';
import { startTestAgent } from '@subcloud/testkit/peer-agent';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import type { ArenaMessage, Measured } from './arena.ts';

const [url = '', joinToken = ''] = process.argv.slice(2);
const engine = await startScriptedEngine({ models: ['m'] });
const agent = await startTestAgent({
  url,
  joinToken,
  untilLinked: false,
  // Full jitter of nothing: it dials again at once.
  random: () => 0,
  config: { engines: [{ url: engine.url }] },
});

async function measure(): Promise<Measured> {
  // What the test remembers is not the agent's.
  for (const list of [engine.requests, agent.served]) (list as unknown[]).length = 0;
  for (let round = 0; round < 4; round++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  const resources: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  return {
    heapUsedBytes: heapUsed,
    arrayBuffersBytes: arrayBuffers,
    rssBytes: rss,
    openFiles: readdirSync('/proc/self/fd').length,
    sockets: resources['TCPSocketWrap'] ?? 0,
    resources,
  };
}

process.on('message', (message: ArenaMessage) => {
  if (message === 'measure') void measure().then((measured) => process.send?.({ measured }));
  else void agent.stop().then(() => process.exit(0));
});
process.send?.({ ready: { nodeId: agent.nodeId } });
