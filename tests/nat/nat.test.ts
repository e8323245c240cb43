/** Machines behind a NAT that accepts nothing, over cables that are cut, slow and lossy: they stay in service. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '@subcloud/testkit/eventually';
import { DELAY_MS, type Machines, NAT_ADDRESS, startMachines } from './machines.ts';
import { namespacesMissing } from './namespaces.ts';

const missing = namespacesMissing();

test.runIf(process.env['SUBCLOUD_NAMESPACES'] === 'required')(
  'this machine gives the namespaces that the gate asks for',
  () => {
    expect(missing).toBeUndefined();
  },
);

describe.skipIf(missing !== undefined)(
  `nodes behind a NAT${missing === undefined ? '' : ` (not run: ${missing})`}`,
  () => {
    let machines: Machines;
    beforeAll(async () => {
      machines = await startMachines({ apart: false });
    }, 120_000);
    afterAll(() => machines?.[Symbol.asyncDispose](), 60_000);

    test('serve, and the network sees the address of their NAT alone', async () => {
      await machines.served('near');
      await machines.served('far');
      // Where a node is follows from the address that the gateway sees: that of the NAT, and not the node's own.
      machines.places([
        { cidr: `${NAT_ADDRESS}/32`, country: 'FR' },
        { cidr: '198.18.1.0/24', country: 'DE' },
      ]);
      await eventually('both are where their NAT is', () => {
        const nodes = machines.cli('node', 'list') as { name: string; location: { country: string }[] }[];
        const found = nodes.map(({ name, location }) => `${name} ${location.map(({ country }) => country).join()}`);
        return found.toSorted().join('; ') === 'far FR; near FR';
      });
    }, 120_000);

    test('accept nothing: neither the NAT nor a node answers who dials in', () => {
      const { namespaces } = machines;
      namespaces.exec('gateway', 'ip', 'route', 'add', '198.18.1.0/24', 'via', NAT_ADDRESS);
      for (const address of [NAT_ADDRESS, '198.18.1.2', '198.18.1.6'])
        for (const port of ['7701', '11434']) expect(dials(namespaces, address, port)).toBe(false);
      // The router itself is asked from inside, so that the nodes' own rule is seen to hold.
      expect(dials(namespaces, '198.18.1.2', '11434', 'router')).toBe(false);
      expect(namespaces.exec('near', 'nft', 'list', 'ruleset')).toMatch(/counter packets [1-9]/);
    });

    test('over a slow way answer as late as the way is long, and whole', async () => {
      const told = await machines.call('far');
      expect(told.whole).toBe(true);
      expect(told.firstByteMs).toBeGreaterThanOrEqual(2 * DELAY_MS);
    });

    test('over a way that loses every tenth packet answer whole', async () => {
      machines.namespaces.nft('router', 'add rule ip filter lossy numgen random mod 100 < 10 drop\n');
      const answers = await Promise.all(Array.from({ length: 20 }, () => machines.call('near')));
      machines.namespaces.nft('router', 'flush chain ip filter lossy\n');
      expect(answers.map(({ whole }) => whole)).not.toContain(false);
    }, 120_000);

    test('are out of service while their cable is pulled, without the other noticing, and come back by themselves', async () => {
      machines.namespaces.plug('router', 'near', false);
      await eventually(
        'the gateway gives up the link',
        async () => (await machines.call('near')).code === 'routing.no_eligible_node',
        90_000,
      );
      expect((await machines.call('far')).whole).toBe(true);
      machines.namespaces.plug('router', 'near', true);
      await machines.served('near');
    }, 240_000);
  },
);

function dials(namespaces: Machines['namespaces'], address: string, port: string, from = 'gateway'): boolean {
  const script = `const s=require('net').connect(${port},'${address}');s.setTimeout(300,()=>process.exit(1));s.on('error',()=>process.exit(1));s.on('connect',()=>process.exit(0))`;
  try {
    namespaces.exec(from, process.execPath, '-e', script);
    return true;
  } catch {
    return false;
  }
}
