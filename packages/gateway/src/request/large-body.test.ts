/** Bodies at the limit, made to hurt: the gateway stays with everybody else. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';
import { MODEL, poolRow, startTestGateway } from '@subcloud/testkit/test-gateway';
import { expect, test } from 'vitest';

const REQUEST_STARTS = 'http.server.request.start';
const MIB = 1_048_576;
const filled = (unit: string, before: string, after: string): Buffer =>
  Buffer.concat([
    Buffer.from(`{"model":"${MODEL}","stream":true,${before}`),
    Buffer.alloc(unit.length * Math.floor((31 * MIB) / unit.length), unit),
    Buffer.from(after),
  ]);

test.each([
  ['arrays', filled('[],', '"x":[', '1]}')],
  ['members', filled('"a":1,', '', '"x":1}')],
  ['escapes', filled('\\n', '"x":"', '"}')],
])(
  '31 MiB of %s leave others their turns, and arrive whole with what was changed in them',
  async (_name, body) => {
    let dispatched = 0;
    await using t = await startTestGateway({ observe: { onDispatch: () => dispatched++ } });
    const alias = 'short';
    await t.publish([poolRow('global', { aliases: { [alias]: MODEL } })]);
    const node = await t.node({});
    const before = body.toString('latin1', 0, 60).replace(`"${MODEL}"`, `"${alias}"`);
    const sent = Buffer.concat([Buffer.from(before), body.subarray(60)]);
    // From the body's last byte at the gateway, its reading takes at least as many turns as it has pieces.
    const whole = Promise.withResolvers<void>();
    const watch = (message: unknown): void => {
      (message as { request: IncomingMessage }).request.once('end', () => whole.resolve());
    };
    subscribe(REQUEST_STARTS, watch);
    const { answer } = t.open({ body: sent });
    await whole.promise;
    unsubscribe(REQUEST_STARTS, watch);
    let turns = 0;
    while (dispatched === 0) {
      turns++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    const reply = await answer;
    expect(reply.statusCode).toBe(200);
    reply.resume();
    expect(turns).toBeGreaterThan(sent.byteLength / 200_000);
    const [seen] = node.requests;
    const expected = `{"stream_options":{"include_usage":true},${body.toString('latin1', 1, 60)}`;
    expect(seen?.body.toString('latin1', 0, expected.length)).toBe(expected);
    expect(seen?.body.byteLength).toBe(body.byteLength + expected.length - 60);
    expect(seen?.body.subarray(expected.length).equals(body.subarray(60))).toBe(true);
    expect(Number(seen?.headers['content-length'])).toBe(seen?.body.byteLength);
  },
  60_000,
);
