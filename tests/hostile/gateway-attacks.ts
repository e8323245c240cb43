/** What a hostile gateway does to an agent. */
import type { Attack } from './caller-attacks.ts';
import { Chance } from './chance.ts';
import { type HostileGateway, type HostileLink, REPORT_STREAM, requestHead } from './hostile-gateway.ts';
import { FLAG, FRAME, frame, headerBlock, settings, uint32 } from './http2-frames.ts';

const BODY = '{"model":"m","messages":[]}';

async function linked(
  chance: Chance,
  gateway: HostileGateway,
  act: (link: HostileLink) => void | Promise<void>,
): Promise<void> {
  const link = await gateway.link(chance.chance(0.8));
  await act(link);
  await Promise.race([link.closed, new Promise((resolve) => setTimeout(resolve, 20 + chance.below(150)))]);
  if (chance.chance(0.5)) link.socket.resetAndDestroy();
  else link.socket.destroy();
  await link.closed;
}

const data = (stream: number, text: string | Buffer, end = false): Buffer =>
  frame(FRAME.data, end ? FLAG.endStream : 0, stream, text);

const FLOODS: Readonly<Record<string, (chance: Chance, link: HostileLink) => Buffer>> = {
  settings: (chance) => settings([[1 + chance.below(8), chance.below(2 ** 31)]]),
  ping: () => frame(FRAME.ping, 0, 0, Buffer.alloc(8)),
  'rapid reset': (_c, link) => {
    const stream = link.nextStream();
    return Buffer.concat([requestHead(stream), frame(FRAME.reset, 0, stream, uint32(8))]);
  },
  'requests without end': (_c, link) => requestHead(link.nextStream()),
  continuation: (_c, link) => {
    const stream = link.nextStream();
    return Buffer.concat([
      frame(FRAME.headers, 0, stream, headerBlock([['x', 'y']])),
      ...Array.from({ length: 30 }, () => frame(FRAME.continuation, 0, stream, headerBlock([['z', 'a'.repeat(200)]]))),
    ]);
  },
  'window updates': (chance) => frame(FRAME.windowUpdate, 0, chance.below(3), uint32(chance.of([0, 1, 0x7fff_ffff]))),
  priority: (chance) => frame(FRAME.priority, 0, 1 + chance.below(1_000), Buffer.alloc(5)),
  'empty data': () => data(REPORT_STREAM, ''),
  'unknown frames': (chance) => frame(20 + chance.below(200), 0, chance.below(9), chance.bytes(chance.below(20))),
};

const LINES: readonly ((chance: Chance) => string | Buffer)[] = [
  (chance) => chance.bytes(chance.below(300)),
  () => '{"type":"welcome","nowMs":1e308}\n'.repeat(50),
  () => '{"type":"time","nowMs":0}\n'.repeat(500),
  () => `{"type":"document","document":{"body":"${'x'.repeat(100_000)}","signature":"a","key":"b"}}\n`,
  () => '{"type":"document","document":{"body":"{}","signature":"AAAA"}}\n',
  () => '{"type":"chain","chain":{"networkId":"net_x","networkKey":"k","signingKeys":[]}}\n',
  () => `${'['.repeat(20_000)}\n`,
  () => 'x'.repeat(400_000),
  () => '{"__proto__":{},"type":"time"}\n',
];

const REQUESTS: Readonly<Record<string, (chance: Chance, link: HostileLink) => void>> = {
  'of a strange method or path': (chance, link) => {
    const fields = chance.of([
      [[':method', 'GET']],
      [[':path', '/../../etc/passwd']],
      [[':path', '/v1/chat/completions?x=1']],
      [
        [':method', 'CONNECT'],
        [':authority', '127.0.0.1:22'],
      ],
      [[':path', 'http://127.0.0.1:1/']],
      [['transfer-encoding', 'chunked']],
      [['connection', 'close']],
      [['content-length', '3']],
      [['content-length', '99999999999']],
      [['x-subcloud-pool', 'global, other']],
      [['', '']],
    ] as const);
    const stream = link.nextStream();
    link.write(requestHead(stream, fields), data(stream, BODY, true));
  },
  'whose body is damaged': (chance, link) => {
    const stream = link.nextStream();
    link.write(requestHead(stream), data(stream, chance.damaged(Buffer.from(BODY)), chance.chance(0.7)));
  },
  'whose body never ends': (_c, link) => {
    const stream = link.nextStream();
    link.write(requestHead(stream), ...Array.from({ length: 16 }, () => data(stream, Buffer.alloc(16_384, '['))));
  },
  'that is given up at once or in the answer': (chance, link) => {
    const stream = link.nextStream();
    link.write(requestHead(stream), data(stream, '{"model":"m","stream":true,"messages":[]}', true));
    setTimeout(() => link.write(frame(FRAME.reset, 0, stream, uint32(8))), chance.below(20));
  },
  'with trailers': (_c, link) => {
    const stream = link.nextStream();
    link.write(
      requestHead(stream),
      data(stream, BODY),
      frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, stream, headerBlock([['x', 'y']])),
    );
  },
  'to its report stream, again': (_c, link) =>
    link.write(requestHead(link.nextStream(), [[':path', '/subcloud/report']])),
  'without end, many at once': (_c, link) =>
    link.write(...Array.from({ length: 60 }, () => requestHead(link.nextStream()))),
};

export const gatewayAttacks: readonly Attack<HostileGateway>[] = [
  {
    name: 'upgrade answer cut or damaged',
    run: (chance, gateway) =>
      gateway.answerNext((hello) => {
        const bytes = Buffer.from(hello);
        return chance.chance(0.5) ? bytes.subarray(0, chance.below(bytes.byteLength)) : chance.damaged(bytes);
      }),
  },
  {
    name: 'upgrade, then no HTTP/2',
    run: (chance, gateway) =>
      gateway.answerNext((hello) => Buffer.concat([Buffer.from(hello), chance.bytes(chance.below(300))])),
  },
  {
    name: 'refusal that does not end',
    run: (_c, gateway) =>
      gateway.answerNext(() =>
        Buffer.from(`HTTP/1.1 403 No\r\ncontent-type: application/json\r\n\r\n${'['.repeat(100_000)}`),
      ),
  },
  {
    name: 'interim answers to the upgrade',
    run: (_c, gateway) =>
      gateway.answerNext((hello) => Buffer.from('HTTP/1.1 103 Early\r\nx: y\r\n\r\n'.repeat(500) + hello)),
  },
  ...Object.entries(FLOODS).map(
    ([name, make]): Attack<HostileGateway> => ({
      name: `flood: ${name}`,
      run: (chance, gateway) =>
        linked(chance, gateway, async (link) => {
          for (let count = chance.below(20); count > 0 && !link.socket.destroyed; count--) {
            link.write(...Array.from({ length: 100 }, () => make(chance, link)));
            await new Promise((resolve) => setImmediate(resolve));
          }
        }),
    }),
  ),
  {
    name: 'garbage on the report stream',
    run: (chance, gateway) =>
      linked(chance, gateway, (link) => {
        const line = Buffer.from(chance.of(LINES)(chance));
        for (let at = 0; at < line.byteLength; at += 16_384) link.report(line.subarray(at, at + 16_384));
      }),
  },
  ...Object.entries(REQUESTS).map(
    ([name, send]): Attack<HostileGateway> => ({
      name: `request ${name}`,
      run: (chance, gateway) =>
        linked(chance, gateway, (link) => {
          for (let count = 1 + chance.below(5); count > 0; count--) send(chance, link);
        }),
    }),
  ),
];

/** The agent serves a sound request over a sound link. Throws otherwise. */
export async function soundRequest(gateway: HostileGateway, limitMs: number): Promise<void> {
  const endMs = performance.now() + limitMs;
  let last = '';
  while (performance.now() < endMs) {
    const link = await gateway.link(true);
    const stream = link.nextStream();
    link.write(requestHead(stream), data(stream, BODY, true));
    const waitMs = performance.now() + 5_000;
    while (!link.ended.has(stream) && !link.socket.destroyed && performance.now() < waitMs)
      await new Promise((resolve) => setTimeout(resolve, 10));
    last = link.heard.get(stream) ?? '';
    link.socket.destroy();
    await link.closed;
    if (last.includes('"choices"')) return;
  }
  throw new Error(`the agent does not serve: ${last.slice(0, 200)}`);
}
