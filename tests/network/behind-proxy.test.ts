/** `subcloud up` behind a proxy on the same machine, as an operator starts it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startUp } from '../crash/processes.ts';

const PUBLIC_URL = 'https://net.example';

test('behind a proxy on its own machine the network starts, and answers those whom the proxy names', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-proxied-'));
  try {
    await expect(startUp(join(folder, 'a'), ['--behind-proxy', '127.0.0.1/32'])).rejects.toThrow(/--public-url/);
    await expect(
      startUp(join(folder, 'a'), ['--behind-proxy', '0.0.0.0/0', '--public-url', PUBLIC_URL]),
    ).rejects.toThrow(/would believe everybody/);
    const data = join(folder, 'b');
    await using up = await startUp(data, ['--behind-proxy', '127.0.0.1/32', '--public-url', PUBLIC_URL]);
    expect(up.ready.url).toBe(PUBLIC_URL);
    const port = gatewayPort(data);
    const named = { 'x-forwarded-for': '198.51.100.7', authorization: `Bearer ${up.ready.apiKey}` };
    expect(await statusOf(port, '/v1/models', named)).toBe(200);
    expect(await statusOf(port, '/v1/models', { authorization: named.authorization })).toBe(400);
    expect(await statusOf(port, '/readyz', {})).toBe(200);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 120_000);

/** The network tells its public address; the port that it was given stands in its log. */
function gatewayPort(dataDir: string): number {
  const [, port] = /"port":(\d+)/.exec(readFileSync(join(dataDir, 'logs', 'gateway.log'), 'utf8')) ?? [];
  return Number(port);
}

function statusOf(port: number, path: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const asking = request({ port, path, headers, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    asking.on('error', reject);
    asking.end();
  });
}
