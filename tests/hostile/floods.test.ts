/** Each flood of an agent ends with its link cut or ignored at no cost, and everybody else is served meanwhile. */
import { importSigningKey } from '@subcloud/kit/signing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { REPORT_LINES, floods } from './agent-attacks.ts';
import { type Arena, type ArenaReady, startArena } from './arena.ts';
import { honestCall } from './campaign.ts';
import { Chance } from './chance.ts';
import { type HostileNode, dialHostile } from './hostile-agent.ts';

let arena: Arena<ArenaReady>;
let free: HostileNode[];
beforeAll(async () => {
  arena = await startArena<ArenaReady>('./gateway-arena.ts', [String(Object.keys(floods).length + 2)]);
  free = arena.ready.nodes.map(({ id, model, pem }) => ({ id, model, key: importSigningKey(pem) }));
});
afterAll(() => arena[Symbol.asyncDispose]());

const honest = (): Promise<void> => honestCall({ ...arena.ready, model: 'test-model' });

function node(): HostileNode {
  const one = free.pop();
  if (one === undefined) throw new Error('no hostile node is left');
  return one;
}

test.each(Object.entries(floods))(
  'a flood of %s ends the link, and the node stays out',
  async (_name, make) => {
    const one = node();
    const chance = new Chance(1);
    const agent = await dialHostile({ port: arena.ready.port, node: one });
    let ended = false;
    void agent.closed.then(() => (ended = true));
    while (!ended) {
      agent.write(...Array.from({ length: 200 }, () => make(chance, agent)));
      await new Promise((resolve) => setImmediate(resolve));
      if (agent.socket.writableLength > 1_000_000) await Promise.race([agent.closed, drained(agent.socket)]);
    }
    await honest();
    expect(arena.death).toBeUndefined();
  },
  60_000,
);

test('a flood of sound lines on the report stream ends the link, and the node is refused when it comes back', async () => {
  const one = node();
  const agent = await dialHostile({ port: arena.ready.port, node: one });
  let ended = false;
  void agent.closed.then(() => (ended = true));
  while (!ended) {
    agent.report('{"type":"heartbeat","inFlight":0}\n'.repeat(200));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await honest();
  await expect(dialHostile({ port: arena.ready.port, node: one })).rejects.toThrow(/closed the link/);
}, 60_000);

test('no line on the report stream, however made, does more than end its link', async () => {
  const one = node();
  for (const line of REPORT_LINES) {
    const agent = await dialHostile({ port: arena.ready.port, node: one });
    const bytes = Buffer.from(line(new Chance(2)));
    for (let at = 0; at < bytes.byteLength; at += 16_384) agent.report(bytes.subarray(at, at + 16_384));
    await honest();
    agent.socket.destroy();
    await agent.closed;
  }
  await honest();
  expect(arena.death).toBeUndefined();
}, 60_000);

function drained(socket: { once(event: 'drain', listener: () => void): void }): Promise<void> {
  return new Promise((resolve) => socket.once('drain', resolve));
}
