import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createEngineServer } from './engine-server.ts';
import { energeticModel } from './energetic-model.ts';
import { drain, endOfLife } from './lifetime.ts';
import { loadLlamaModel } from './llama-model.ts';

const { values } = parseArgs({
  options: { host: { type: 'string', default: '127.0.0.1' }, port: { type: 'string', default: '0' } },
});
const end = endOfLife();
const modelPath = fileURLToPath(new URL('../model/tiny-f16.gguf', import.meta.url));
await using model = await loadLlamaModel('subcloud-demo', modelPath);
const embeddings = energeticModel('subcloud-demo-embedding');
const server = createEngineServer(model, () => performance.timeOrigin + performance.now(), embeddings);
server.listen({ host: values.host, port: Number(values.port) });
await once(server, 'listening');
const { address, port } = server.address() as AddressInfo;
process.stdout.write(`${JSON.stringify({ listening: { host: address, port } })}\n`);
if (!end.aborted) await once(end, 'abort');
if (process.connected) process.disconnect();
await drain(server);
