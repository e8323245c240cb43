/** Gateway and control cut apart for longer than the lease: served inside it, refused after it, whole again when it heals. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import { eventually } from '@subcloud/testkit/eventually';
import { type Machines, startMachines } from './machines.ts';
import { namespacesMissing } from './namespaces.ts';

const missing = namespacesMissing();

describe.skipIf(missing !== undefined)(`a partition${missing === undefined ? '' : ` (not run: ${missing})`}`, () => {
  let machines: Machines;
  beforeAll(async () => {
    machines = await startMachines({ apart: true });
    await machines.served('near');
  }, 180_000);
  afterAll(() => machines?.[Symbol.asyncDispose](), 60_000);

  test('between gateway and control is not noticed inside the lease, ends service with it, and heals by itself', async () => {
    machines.namespaces.plug('control', 'gateway', false);
    const cutMs = performance.now();
    let served = 0;
    let firstRefusedMs = 0;
    await eventually(
      'the gateway stops serving',
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 250));
        const askedMs = performance.now();
        const told = await machines.call('near');
        if (told.whole) served++;
        else firstRefusedMs ||= askedMs;
        return told.code === 'platform.table_stale';
      },
      TABLE_LEASE_MS * 2,
    );
    expect(served).toBeGreaterThan(3);
    // Nobody is served past the lease: it began at most at the cut, and ended before the refusal.
    expect(performance.now() - cutMs).toBeLessThan(TABLE_LEASE_MS + 30_000);
    expect(firstRefusedMs - cutMs).toBeGreaterThan(TABLE_LEASE_MS / 2);
    machines.namespaces.plug('control', 'gateway', true);
    await machines.served('near');
  }, 300_000);
});
