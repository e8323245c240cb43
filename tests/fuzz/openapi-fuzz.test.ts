/** A seeded share of `npm run fuzz:api`, which sends 10,000. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startTestNetwork } from '@subcloud/testkit/test-network';
import { expect, test } from 'vitest';
import { fuzz } from './openapi-fuzz.ts';

const REQUESTS = Number(process.env['FUZZ_REQUESTS'] ?? 600);
const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261_125);

test(`${REQUESTS} requests made from the OpenAPI document, most of them malformed: no fault of ours, no leak, every answer is in it`, {
  timeout: 1_800_000,
}, async () => {
  await using network = await startTestNetwork();
  const node = await network.node({ name: 'one', consent: { autoJoin: 'all' } });
  await network.serving('global', node);
  const { adminToken } = JSON.parse(readFileSync(join(network.dataDir, 'credentials.json'), 'utf8')) as {
    adminToken: string;
  };
  const stranger = await network.principal('user:stranger');
  const report = await fuzz({
    url: network.url,
    requests: REQUESTS,
    seed: SEED,
    credentials: { admin: adminToken, own: network.apiKey, stranger, none: undefined, wrong: 'sck_nonsense' },
    secrets: [adminToken, network.apiKey, stranger, network.dataDir, network.databaseUrl],
    ...(REQUESTS > 600 ? { onProgress: (done: number) => void process.stderr.write(`${done} requests\n`) } : {}),
  });
  process.stderr.write(`${JSON.stringify({ fuzz: { ...report, faults: report.faults.length, seed: SEED } })}\n`);
  expect(report.faults).toEqual([]);
  // Requests that were all refused at the door would prove little.
  expect(report.byStatus['200'] ?? 0).toBeGreaterThan(REQUESTS / 100);
  expect(report.byStatus['400'] ?? 0).toBeGreaterThan(REQUESTS / 20);
  expect((await fetch(`${network.url}/readyz`)).status).toBe(200);
});
