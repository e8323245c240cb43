import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { LINK_HEADERS, LINK_UPGRADE } from '@subcloud/contract/link';
import { systemClock } from '@subcloud/kit/clock';
import { expect, test } from 'vitest';
import { upgrade } from './upgrade.ts';

test('a socket goes to HTTP/2 only when the write of the question has ended, however early the answer is', async () => {
  const hello = Buffer.from('{"a":1}').toString('base64url');
  let writeEnds: (() => void) | undefined;
  const socket = new Duplex({
    read() {},
    write(_chunk, _encoding, done) {
      writeEnds = done;
      this.push(
        `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${LINK_UPGRADE}\r\n${LINK_HEADERS.gateway}: ${hello}\r\n\r\nPRI`,
      );
    },
  });
  let settled = false;
  const answer = upgrade(socket as Socket, {
    url: new URL('http://127.0.0.1:1'),
    nodeId: 'nod_a',
    agentNonce: 'n'.repeat(43),
    clock: systemClock,
  });
  void answer.finally(() => (settled = true));
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(writeEnds).toBeDefined();
  expect(settled).toBe(false);
  writeEnds?.();
  expect(await answer).toEqual({ a: 1 });
  expect(String(socket.read())).toBe('PRI');
  socket.destroy();
});
