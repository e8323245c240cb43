/** A change of the signing key: agents learn of the next one before anything is signed with it. */
import { expect, test } from 'vitest';
import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import { eventually } from '@subcloud/testkit/eventually';
import { startTestNetwork } from '@subcloud/testkit/test-network';

test('a signing key is rotated, and a node goes on to join by documents of the new one', async () => {
  await using network = await startTestNetwork();
  const node = await network.node({ name: 'only', consent: { autoJoin: 'all', isolation: 'shared' } });
  await network.serving('global', node);
  const active = async (): Promise<string | undefined> =>
    (await network.admin.call('listSigningKeys')).keys.find(({ state }) => state === 'active')?.publicKey;
  const old = await active();
  const { keys } = await network.admin.call('rotateSigningKey', { body: {} });
  const next = keys.find(({ state }) => state === 'next')?.publicKey;
  expect(next).toBeDefined();
  // The public chain names both at once.
  expect((await network.admin.call('network')).chain.signingKeys).toHaveLength(2);

  await eventually(
    'the next key signs',
    async () => {
      // One heartbeat at a time, so that no link is taken for dead.
      network.clock.advance(Math.min(4_000, TABLE_LEASE_MS));
      return (await active()) === next;
    },
    60_000,
  );
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'after', owner: 'user:admin' },
    spec: { participation: { mode: 'open', autoJoin: true } },
  });
  await network.serving('after', node);
  await network.serving('global', node);
  expect(await active()).not.toBe(old);
}, 90_000);
