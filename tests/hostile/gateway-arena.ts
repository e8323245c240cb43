/**
 * A real gateway in a process of its own, with one honest node, several nodes whose keys are handed out, and a scripted
 * control: what attacks run against. It measures itself when asked. If a peer can abort it, this process is gone.
 */
import { readdirSync } from 'node:fs';
import { exportSigningKey, generateSigningKey } from '@subcloud/kit/signing';
import { MODEL, memberRow, nodeRow, startTestGateway } from '@subcloud/testkit/test-gateway';
import type { ArenaMessage, ArenaReady, Measured } from './arena.ts';

const HOSTILE_NODES = Number(process.argv[2] ?? 16);
const send = (message: unknown): void => void process.send?.(message);

const t = await startTestGateway({ config: { bodyTimeoutMs: 3_000 } });
const hostile = Array.from({ length: HOSTILE_NODES }, (_, index) => ({
  id: `nod_hostile${index}`,
  model: `hostile-${index}`,
  key: generateSigningKey(),
}));
await t.publish(
  hostile.flatMap(({ id, model, key }) => [nodeRow(id, key.publicKey), memberRow('global', id, [model])]),
);
const honest = await t.node({ id: 'nod_honest', models: [MODEL] });

async function measure(): Promise<Measured> {
  // What the scripted peers remember is not the gateway's.
  const { control } = t;
  for (const list of [control.reports, control.usage, control.decisions, control.acknowledged, control.apiRequests])
    list.length = 0;
  honest.requests.length = 0;
  honest.heard.length = 0;
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
  if (message === 'measure') void measure().then((measured) => send({ measured }));
  else void t[Symbol.asyncDispose]().then(() => process.exit(0));
});
const ready: ArenaReady = {
  port: t.gateway.port,
  apiKey: t.key,
  nodes: hostile.map(({ id, model, key }) => ({ id, model, pem: exportSigningKey(key) })),
};
send({ ready });
