/** Promise 9: one pool's stalled caller does not slow another's, though both are served by one node over one link. */
import type { IncomingMessage } from 'node:http';
import { event, memberRow, nodeRow, poolRow, startTestGateway } from '@subcloud/testkit/test-gateway';
import { startPeerNode } from '@subcloud/testkit/peer-node';
import { generateSigningKey } from '@subcloud/kit/signing';
import { eventually } from '@subcloud/testkit/eventually';
import { expect, test } from 'vitest';

const STALLED = 40;
const PIECE = event({ choices: [{ delta: { content: 'x'.repeat(4_000) } }] });
const ANSWER_BYTES = 3_000_000;

test('while 40 callers of one pool read nothing, a caller of another gets all of its answer, byte by byte in its order', async () => {
  await using t = await startTestGateway();
  const key = generateSigningKey();
  const id = 'nod_shared';
  await t.publish([
    poolRow('slow', { owner: 'user:alice' }),
    nodeRow(id, key.publicKey),
    memberRow('global', id, ['m']),
    memberRow('slow', id, ['m']),
  ]);
  // Writes as fast as the stream takes it, without end for the slow pool.
  const peer = await startPeerNode({
    url: t.gateway.url,
    id,
    key,
    handler(stream, headers) {
      stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
      let leftBytes = headers['x-subcloud-pool'] === 'slow' ? Number.POSITIVE_INFINITY : ANSWER_BYTES;
      const push = (): void => {
        while (leftBytes > 0 && !stream.destroyed) {
          leftBytes -= PIECE.length;
          if (!stream.write(PIECE)) return void stream.once('drain', push);
        }
        stream.end('data: [DONE]\n\n');
      };
      push();
    },
  });
  expect(await peer.linked).toBe('welcome');
  const body = { model: 'm', stream: true, messages: [] };
  const stalled = await Promise.all(
    Array.from({ length: STALLED }, async () => {
      const answer = await t.open({ body, headers: { 'x-subcloud': 'slow' } }).answer;
      answer.pause();
      return answer;
    }),
  );
  await eventually('every stalled stream has filled all that there is between', () => standsStill(peer.session.state));
  const before = process.memoryUsage().arrayBuffers;
  // One after the other, so that each begins with the link as full as it gets.
  for (let round = 0; round < 3; round++) {
    const { text, broken, status } = await t.call({ body });
    expect([status, broken]).toEqual([200, false]);
    expect(text.length).toBeGreaterThan(ANSWER_BYTES);
  }
  // A stalled stream holds its window and its socket's buffers, and nothing grows meanwhile.
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64_000_000);
  for (const answer of stalled) answer.destroy();
  await eventually('the node is told to stop', () => openStreams(stalled) === 0);
  peer.close();
}, 120_000);

let lastWindow = -1;
function standsStill({ remoteWindowSize = 0 }: { readonly remoteWindowSize?: number | undefined }): boolean {
  const same = remoteWindowSize === lastWindow;
  lastWindow = remoteWindowSize;
  return same;
}

function openStreams(answers: readonly IncomingMessage[]): number {
  return answers.filter(({ destroyed }) => !destroyed).length;
}
