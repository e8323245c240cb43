import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { silentLog } from '@subcloud/kit/log';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { expect, onTestFinished, test } from 'vitest';
import { createEngineFleet } from './engine-fleet.ts';

const engine = fileURLToPath(new URL('../../../../demo-engine', import.meta.url));
const installed = existsSync(`${engine}/node_modules/node-llama-cpp`);

test.skipIf(!installed)('the real demo engine is found with its model and its context length', async () => {
  const child = spawn(process.execPath, [`${engine}/src/main.ts`, '--port', '0'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const { value: line } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
  const { host, port } = (JSON.parse(String(line)) as { readonly listening: { host: string; port: number } }).listening;
  const clock = controllableClock();
  const fleet = createEngineFleet({ clock, log: silentLog });
  onTestFinished(async () => {
    await fleet.close();
    clock[Symbol.dispose]();
  });
  await fleet.use([{ url: `http://${host}:${port}`, models: {} }]);
  expect(fleet.facts()).toEqual([
    { id: 'subcloud-demo', digest: null, quantization: null, modalities: ['text'], contextLength: 1024 },
    { id: 'subcloud-demo-embedding', digest: null, quantization: null, modalities: ['embedding'], contextLength: null },
  ]);
});
