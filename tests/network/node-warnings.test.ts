/** What a node's operator reads of links that look wrong: a second one with its key, a cloned machine, a changing address. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { type RunningAgent, agentOptions, runAgent } from '@subcloud/agent/run';
import { HEARTBEATS_MISSED, HEARTBEAT_MS } from '@subcloud/contract/link';
import { systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { silentLog } from '@subcloud/kit/log';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandLine } from './run-command.ts';

let network: TestNetwork;
beforeAll(async () => {
  network = await startTestNetwork();
});
afterAll(() => network[Symbol.asyncDispose]());

const warnings = async (node: TestNode): Promise<readonly string[]> =>
  (await network.admin.call('getNode', { params: { id: node.id } })).warnings;
const has = (found: readonly string[], words: RegExp): boolean => found.some((warning) => words.test(warning));

/** Another process with a copy of the node's folder. */
async function startCopy(node: TestNode, address: string): Promise<RunningAgent> {
  const dataDir = join(network.dataDir, 'agents', `${node.name}-copy`);
  cpSync(join(network.dataDir, 'agents', node.name), dataDir, {
    recursive: true,
    filter: (path) => !path.endsWith('.lock'),
  });
  const flags = {
    url: network.url,
    joinToken: 'not-needed-again',
    dataDir,
    name: node.name,
    engines: [{ url: node.engine.url }],
    hardware: 'none',
    localAddress: address,
  };
  return runAgent({
    clock: network.clock,
    random: systemRandom,
    log: silentLog,
    config: loadConfig(agentOptions, { flags }),
  });
}

test('a second link from the address of the first is told; that it goes on for longer than a left-over makes it a clone', async () => {
  const node = await network.node({ name: 'twice', address: '127.0.1.5' });
  await network.serving('global', node);
  expect(await warnings(node)).toEqual([]);
  const copy = await startCopy(node, '127.0.1.5');
  try {
    await eventually('the second link is told', async () => has(await warnings(node), /second link .* refused/));
    expect(has(await warnings(node), /two machines/)).toBe(false);
    await eventually(
      'the clone is told',
      async () => {
        // A heartbeat at a time: both links stay alive.
        network.clock.advance(HEARTBEAT_MS / 2);
        await new Promise((resolve) => setTimeout(resolve, 50));
        return has(await warnings(node), /in use on two machines/);
      },
      30_000,
    );
  } finally {
    await copy.stop();
  }
  await eventually('one of them is linked', async () => {
    const { online } = await network.admin.call('getNode', { params: { id: node.id } });
    return online;
  });
  await node.stop();
});

test('a second link from another address is a cloned machine at once, as people and as programs read it', async () => {
  const node = await network.node({ name: 'cloned', address: '127.0.1.6' });
  await network.serving('global', node);
  const copy = await startCopy(node, '127.0.2.6');
  try {
    await eventually('the clone is told', async () =>
      has(await warnings(node), /two machines.*127\.0\.1\.6 and 127\.0\.2\.6/),
    );
  } finally {
    await copy.stop();
  }
  const run = commandLine(network, network.apiKey);
  expect((await run('node', 'list')).stdout).toMatch(/cloned .*see node get/);
  expect((await run('node', 'get', 'cloned')).stdout).toMatch(/warning: +this node's key is in use on two machines/);
  expect(has((await run.json<{ warnings: string[] }>('node', 'get', 'cloned')).warnings, /two machines/)).toBe(true);
  // What happened stands among the events too.
  const events = await network.admin.call('listEvents', { query: { node: node.id } });
  expect(events.items.filter(({ kind }) => kind === 'node.link_refused')).toHaveLength(1);
});

test('an address that changes is told with where it was, and how often', async () => {
  const node = await network.node({ name: 'roams', address: '127.0.1.7' });
  await network.serving('global', node);
  await node.stop();
  await node.start('127.0.2.7');
  await eventually('the move is told', async () =>
    has(await warnings(node), /changed once .* from 127\.0\.1\.7 to 127\.0\.2\.7/),
  );
  await node.stop();
  await node.start('127.0.3.7');
  await eventually('the next is told', async () =>
    has(await warnings(node), /changed 2 times .* from 127\.0\.2\.7 to 127\.0\.3\.7/),
  );
  network.clock.advance(25 * 3_600_000);
  expect(has(await warnings(node), /address changed/)).toBe(false);
}, 60_000);

test('what an agent that is killed leaves behind is no second link', async () => {
  const node = await network.node({ name: 'again', address: '127.0.1.8' });
  await network.serving('global', node);
  await node.stop();
  await node.start();
  await network.serving('global', node);
  expect(await warnings(node)).toEqual([]);
  expect(HEARTBEATS_MISSED).toBe(3);
});
