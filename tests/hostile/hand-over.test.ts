/** The hand-over from HTTP/1.1 to HTTP/2, cut at every byte, from both sides: nobody is aborted by it. */
import { importSigningKey } from '@subcloud/kit/signing';
import { expect, test } from 'vitest';
import { type ArenaReady, startArena } from './arena.ts';
import { honestCall } from './campaign.ts';
import { soundRequest } from './gateway-attacks.ts';
import { dialHostile, open, upgradeText } from './hostile-agent.ts';
import { startHostileGateway } from './hostile-gateway.ts';
import { FRAME, frame, settings, uint32 } from './http2-frames.ts';

const AT_ONCE = 16;

test('a gateway outlives agents that are gone at any byte of it', async () => {
  await using arena = await startArena<ArenaReady>('./gateway-arena.ts', ['1']);
  const { port, nodes } = arena.ready;
  const [node] = nodes;
  if (node === undefined) throw new Error('no node');
  const whole = Buffer.concat([
    Buffer.from(upgradeText(node.id, 'n'.repeat(43))),
    settings([
      [3, 100],
      [4, 65_535],
    ]),
    frame(FRAME.windowUpdate, 0, 0, uint32(1_000)),
    frame(FRAME.settings, 1, 0),
  ]);
  const ways = ['destroy', 'reset', 'end'] as const;
  const cuts = ways.flatMap((way) => Array.from({ length: whole.byteLength + 1 }, (_, at) => ({ way, at })));
  const next = cuts.values();
  const worker = async (): Promise<void> => {
    for (const { way, at } of next) {
      const socket = await open(port);
      socket.on('error', () => {});
      socket.resume();
      const closed = new Promise((resolve) => socket.once('close', resolve));
      await new Promise((resolve) => socket.write(whole.subarray(0, at), resolve));
      if (way === 'end') socket.end();
      else if (way === 'reset') socket.resetAndDestroy();
      else socket.destroy();
      if (way === 'end') setTimeout(() => socket.destroy(), 100);
      await closed;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  await honestCall({ ...arena.ready, model: 'test-model' });
  const sound = await dialHostile({ port, node: { id: node.id, model: node.model, key: importSigningKey(node.pem) } });
  sound.socket.destroy();
  expect(arena.death).toBeUndefined();
}, 120_000);

test('an agent outlives gateways that are gone at any byte of it', async () => {
  await using gateway = await startHostileGateway();
  await using arena = await startArena('./agent-arena.ts', [gateway.url, gateway.joinToken]);
  const after = settings([[3, 100]]);
  let length = 1;
  for (let at = 0; at <= length; at += at < 200 ? 1 : 37) {
    await gateway.answerNext((hello) => {
      const whole = Buffer.concat([Buffer.from(hello), after]);
      length = whole.byteLength;
      return whole.subarray(0, at);
    });
  }
  await soundRequest(gateway, 30_000);
  expect(arena.death).toBeUndefined();
}, 120_000);
