/** A withdrawal that a gateway with a live lease does not confirm: accepted and not done, and who is outstanding until when. */
import { request } from 'node:http';
import { join } from 'node:path';
import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import { WATCH_PATHS } from '@subcloud/contract/watch';
import { eventually } from '@subcloud/testkit/eventually';
import { startTestNetwork } from '@subcloud/testkit/test-network';
import { expect, test } from 'vitest';
import { commandLine } from './run-command.ts';

/** A gateway that took a table and its lease, and is not heard of again. Whether it got the lease. */
function acknowledgeOnce(dataDir: string, tableVersion: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socketPath = join(dataDir, 'run', 'gateways.sock');
    const headers = { 'content-type': 'application/json' };
    const asked = request({ socketPath, method: 'POST', path: WATCH_PATHS.acknowledge, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (part: string) => (text += part));
      answer.on('end', () => resolve((JSON.parse(text) as { lease?: boolean }).lease === true));
    });
    asked.on('error', reject);
    asked.end(JSON.stringify({ gateway: 'gw_silent', boot: '1', tableVersion }));
  });
}

test('a gateway that does not confirm a withdrawal is named with the end of its lease, the others obey at once, and then it is done', async () => {
  await using network = await startTestNetwork();
  const own = await network.principal('user:caller');
  const make = () => network.admin.call('createKey', { body: { principal: 'user:caller' } });
  const [first, second] = [await make(), await make()];
  const status = async (secret: string): Promise<number> =>
    (await fetch(`${network.url}/v1/models`, { headers: { authorization: `Bearer ${secret}` } })).status;
  await eventually('its keys are known', async () => (await status(first.key)) === 200);
  await eventually('the silent gateway has a lease', () =>
    acknowledgeOnce(network.dataDir, network.gateway.tableVersion()),
  );
  const leasedMs = network.clock.nowMs();

  const late = fetch(`${network.url}/api/v1/keys/${first.id}`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${own}` },
  });
  await eventually('the gateway that is heard refuses it', async () => (await status(first.key)) === 401);
  network.clock.advance(6_000);
  const accepted = await late;
  const body = (await accepted.json()) as {
    complete: boolean;
    outstanding: { gateway: string; leaseEndsAt: string }[];
  };
  expect([accepted.status, body.complete]).toEqual([202, false]);
  expect(body.outstanding.map(({ gateway }) => gateway)).toEqual(['gw_silent']);
  const endsMs = Date.parse(body.outstanding[0]?.leaseEndsAt ?? '');
  expect(endsMs).toBeGreaterThan(leasedMs);
  expect(endsMs).toBeLessThanOrEqual(network.clock.nowMs() + TABLE_LEASE_MS);

  // Behind what was withdrawn it gets no lease again, so the end that was said holds.
  expect(await acknowledgeOnce(network.dataDir, 1)).toBe(false);
  for (let passedMs = 0; passedMs < TABLE_LEASE_MS; passedMs += 2_500) {
    network.clock.advance(2_500);
    await eventually('heartbeats get through', () => fetch(`${network.url}/healthz`).then(({ ok }) => ok));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const line = commandLine(network, own);
  expect((await line('key', 'revoke', second.id)).stdout).toContain('in force on every gateway');
});
