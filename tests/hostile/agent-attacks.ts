/** What a hostile machine does to a gateway's link, with a good key and without. */
import { Chance } from './chance.ts';
import type { Attack, Target } from './caller-attacks.ts';
import { type HostileAgent, type HostileNode, dialHostile, open, upgradeText } from './hostile-agent.ts';
import { FLAG, FRAME, frame, headerBlock, settings, uint32 } from './http2-frames.ts';

export interface LinkTarget extends Target {
  /** Runs with one of the hostile nodes, which nobody else has meanwhile. */
  withNode<Value>(act: (node: HostileNode) => Promise<Value>): Promise<Value>;
}

const NONCE = 'n'.repeat(43);

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A linked agent, for at most a while; whatever the gateway does to it is fine. */
async function linked(
  chance: Chance,
  target: LinkTarget,
  act: (agent: HostileAgent, node: HostileNode) => void | Promise<void>,
  options: { readonly polite?: boolean; readonly onRequest?: (agent: HostileAgent, stream: number) => void } = {},
): Promise<void> {
  await target.withNode(async (node) => {
    const agent = await dialHostile({ port: target.port, node, ...options }).catch(() => undefined);
    if (agent === undefined) return;
    agent.socket.on('error', () => {});
    await act(agent, node);
    await Promise.race([agent.closed, pause(50 + chance.below(300))]);
    if (chance.chance(0.5)) agent.socket.resetAndDestroy();
    else agent.socket.destroy();
    await agent.closed;
  });
}

/** Asks for the hostile node's model, reads what comes, and does not mind what it is. */
async function ask(target: LinkTarget, node: HostileNode, stream: boolean): Promise<void> {
  const body = JSON.stringify({ model: node.model, stream, messages: [] });
  const socket = await open(target.port);
  socket.on('error', () => {});
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${target.apiKey}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  );
  socket.resume();
  await Promise.race([new Promise((resolve) => socket.once('close', resolve)), pause(500)]);
  socket.destroy();
}

const ok = (stream: number, fields: readonly (readonly [string, string])[] = []): Buffer =>
  frame(FRAME.headers, FLAG.endHeaders, stream, headerBlock([[':status', '200'], ...fields]));
const data = (stream: number, text: string | Buffer, end = false): Buffer =>
  frame(FRAME.data, end ? FLAG.endStream : 0, stream, text);
const EVENTS = ['content-type', 'text/event-stream'] as const;
const JSON_TYPE = ['content-type', 'application/json'] as const;

/** Each as fast as the socket takes them, up to some thousands. */
export const floods: Readonly<Record<string, (chance: Chance, agent: HostileAgent) => Buffer>> = {
  settings: (chance) =>
    settings(Array.from({ length: chance.below(20) }, () => [1 + chance.below(8), chance.below(2 ** 31)])),
  'settings without end': () => settings(Array.from({ length: 200 }, (_, index) => [index, index])),
  'settings acknowledged that nobody sent': () => frame(FRAME.settings, FLAG.ack, 0),
  ping: () => frame(FRAME.ping, 0, 0, Buffer.alloc(8)),
  'ping answers that nobody asked for': () => frame(FRAME.ping, FLAG.ack, 0, Buffer.alloc(8)),
  reset: (chance) => frame(FRAME.reset, 0, 1 + 2 * chance.below(50), uint32(chance.below(14))),
  'window updates': (chance) => frame(FRAME.windowUpdate, 0, chance.below(3), uint32(chance.of([0, 1, 0x7fff_ffff]))),
  priority: (chance) => frame(FRAME.priority, 0, 1 + chance.below(100), Buffer.alloc(5, chance.below(255))),
  'empty data': (_chance, agent) => data(agent.reportStream, ''),
  'tiny data': (_chance, agent) => data(agent.reportStream, '\n'),
  'headers of nobody': (chance) =>
    frame(FRAME.headers, FLAG.endHeaders, chance.below(1_000), headerBlock([['x', 'y']])),
  'interim answers': (_chance, agent) =>
    frame(
      FRAME.headers,
      FLAG.endHeaders,
      agent.requests.at(-1) ?? agent.reportStream,
      headerBlock([
        [':status', '103'],
        ['x', 'y'],
      ]),
    ),
  continuation: (chance, agent) =>
    Buffer.concat([
      frame(FRAME.headers, 0, agent.reportStream, headerBlock([['x', 'y']])),
      ...Array.from({ length: 50 }, () =>
        frame(FRAME.continuation, 0, agent.reportStream, headerBlock([['z', 'a'.repeat(chance.below(100))]])),
      ),
    ]),
  push: (chance, agent) =>
    frame(
      FRAME.pushPromise,
      FLAG.endHeaders,
      agent.reportStream,
      Buffer.concat([uint32(2 + 2 * chance.below(1_000)), headerBlock([[':method', 'GET']])]),
    ),
  'alternative services': () =>
    frame(FRAME.altsvc, 0, 0, Buffer.concat([Buffer.from([0, 1]), Buffer.from('ah2=":1"')])),
  origins: () => frame(FRAME.origin, 0, 0, Buffer.concat([Buffer.from([0, 9]), Buffer.from('https://a')])),
  'unknown frames': (chance) =>
    frame(20 + chance.below(200), chance.below(256), chance.below(50), chance.bytes(chance.below(50))),
};

export const REPORT_LINES: readonly ((chance: Chance) => string | Buffer)[] = [
  (chance) => chance.bytes(chance.below(500)),
  () => '{"type":"heartbeat","inFlight":1e308}\n',
  () => `${'['.repeat(30_000)}\n`,
  () => `{"type":"heartbeat","inFlight":0,"${'x'.repeat(50_000)}":1}\n`,
  () => '{"type":"heartbeat","inFlight":0}\n'.repeat(2_000),
  () => '{"type":"declaration","document":{"body":"{}","signature":"x","key":"y"}}\n',
  () => '{"type":"document-acknowledged","epoch":9007199254740991,"serial":9007199254740991}\n'.repeat(20),
  () => `{"type":"drained","pools":[${'"a",'.repeat(1_000)}"b"],"epoch":1,"serial":1}\n`,
  () => '{"type":"draining"}\n{"type":"hello"}\n',
  () => 'x'.repeat(1_000_000),
  () => '\n'.repeat(100_000),
  () => Buffer.from('{"type":"heartbeat","inFlight":\xff}\n', 'latin1'),
  () => '{"__proto__":{"type":"heartbeat"},"constructor":1}\n',
];

type Answer = (chance: Chance, agent: HostileAgent, stream: number) => void;
const part = (content: string): string => `data: {"choices":[{"delta":{"content":"${content}"}}]}\n\n`;

export const answers: Readonly<Record<string, Answer>> = {
  'shorter than declared': (_c, agent, s) =>
    agent.write(ok(s, [JSON_TYPE, ['content-length', '100']]), data(s, '{"a":1}', true)),
  'longer than declared': (_c, agent, s) =>
    agent.write(ok(s, [JSON_TYPE, ['content-length', '3']]), data(s, '{"a":1}', true)),
  'two lengths': (_c, agent, s) =>
    agent.write(ok(s, [JSON_TYPE, ['content-length', '7'], ['content-length', '8']]), data(s, '{"a":1}', true)),
  'no length and no end': (_c, agent, s) => agent.write(ok(s, [JSON_TYPE]), data(s, '{"a":')),
  'events cut anywhere': (chance, agent, s) => {
    const whole = Buffer.from(part('a').repeat(5) + 'data: [DONE]\n\n');
    agent.write(ok(s, [EVENTS]));
    for (let at = 0; at < whole.byteLength; ) {
      const length = 1 + chance.below(30);
      agent.write(data(s, whole.subarray(at, at + length)));
      at += length;
    }
    agent.write(data(s, '', true));
  },
  'damaged events': (chance, agent, s) =>
    agent.write(
      ok(s, [EVENTS]),
      data(s, chance.damaged(Buffer.from(part('b').repeat(4) + 'data: [DONE]\n\n')), chance.chance(0.5)),
    ),
  'one event without end': (_c, agent, s) =>
    agent.write(ok(s, [EVENTS]), ...Array.from({ length: 20 }, () => data(s, 'x'.repeat(16_000)))),
  'events that go on after the end': (_c, agent, s) =>
    agent.write(ok(s, [EVENTS]), data(s, 'data: [DONE]\n\n' + part('late').repeat(100))),
  'usage that is none': (_c, agent, s) =>
    agent.write(
      ok(s, [EVENTS]),
      data(
        s,
        `data: {"usage":{"prompt_tokens":1e999,"completion_tokens":-5},"choices":[]}\n\ndata: {"usage":${'['.repeat(3_000)}\n\ndata: [DONE]\n\n`,
        true,
      ),
    ),
  'a strange status': (chance, agent, s) =>
    agent.write(
      frame(
        FRAME.headers,
        FLAG.endHeaders | (chance.chance(0.5) ? 1 : 0),
        s,
        headerBlock([
          [
            ':status',
            chance.of(['0', '99', '101', '204', '304', '421', '429', '500', '600', '999', '1000', 'abc', '-1']),
          ],
        ]),
      ),
    ),
  'smuggled headers': (chance, agent, s) =>
    agent.write(
      ok(s, [
        JSON_TYPE,
        chance.of([
          ['set-cookie', 'a=b'],
          ['location', 'http://evil'],
          ['transfer-encoding', 'chunked'],
          ['connection', 'close'],
          ['x-a', 'b\r\nset-cookie: c=d'],
          ['content-type', 'text/html\r\nx: y'],
          ['x-subcloud', 'other'],
          ['access-control-allow-origin', '*'],
          ['UPPER', 'case'],
          ['', 'empty'],
          [':status', '201'],
        ] as const),
      ]),
      data(s, '{}', true),
    ),
  'trailers of all kinds': (_c, agent, s) =>
    agent.write(
      ok(s, [JSON_TYPE]),
      data(s, '{}'),
      frame(
        FRAME.headers,
        FLAG.endHeaders | FLAG.endStream,
        s,
        headerBlock([
          ['x', 'y'],
          [':status', '200'],
        ]),
      ),
    ),
  'bytes before the head': (_c, agent, s) => agent.write(data(s, 'x'), ok(s, [JSON_TYPE])),
  'a reset in the middle': (chance, agent, s) =>
    agent.write(ok(s, [EVENTS]), data(s, part('c')), frame(FRAME.reset, 0, s, uint32(chance.below(14)))),
  'more than the window': (_c, agent, s) =>
    agent.write(ok(s, [EVENTS]), ...Array.from({ length: 150 }, () => data(s, Buffer.alloc(16_384, 'x')))),
  'interim answers first': (_c, agent, s) =>
    agent.write(
      ...Array.from({ length: 200 }, () => frame(FRAME.headers, FLAG.endHeaders, s, headerBlock([[':status', '103']]))),
      ok(s, [JSON_TYPE]),
      data(s, '{}', true),
    ),
  'nothing at all': () => {},
  'a goodbye': (chance, agent, s) =>
    agent.write(frame(FRAME.goaway, 0, 0, Buffer.concat([uint32(s), uint32(chance.below(14)), Buffer.from('bye')]))),
};

export const agentAttacks: readonly Attack<LinkTarget>[] = [
  {
    name: 'upgrade cut or damaged',
    async run(chance, target) {
      const text = Buffer.from(upgradeText(chance.of(['nod_hostile0', 'nod_unknown']), NONCE));
      const socket = await open(target.port);
      socket.on('error', () => {});
      const bytes = chance.chance(0.5) ? text.subarray(0, chance.below(text.byteLength)) : chance.damaged(text);
      socket.write(chance.chance(0.5) ? bytes : Buffer.concat([bytes, chance.bytes(chance.below(200))]));
      await pause(chance.below(20));
      if (chance.chance(0.5)) socket.resetAndDestroy();
      else socket.destroy();
    },
  },
  {
    name: 'upgrade, then no HTTP/2',
    async run(chance, target) {
      const socket = await open(target.port);
      socket.on('error', () => {});
      socket.resume();
      const after = chance.of([
        chance.bytes(100),
        Buffer.from('GET / HTTP/1.1\r\n\r\n'),
        settings([[3, 1]]),
        chance.damaged(Buffer.concat([settings([[3, 1]]), frame(FRAME.ping, 0, 0, Buffer.alloc(8))])),
      ]);
      const text = Buffer.from(upgradeText('nod_hostile0', NONCE));
      if (chance.chance(0.5)) socket.write(Buffer.concat([text, after]));
      else {
        socket.write(text);
        await pause(chance.below(10));
        if (!socket.destroyed) socket.write(after);
      }
      await pause(chance.below(60));
      if (chance.chance(0.5)) socket.resetAndDestroy();
      else socket.destroy();
    },
  },
  ...Object.entries(floods).map(
    ([name, make]): Attack<LinkTarget> => ({
      name: `flood: ${name}`,
      run: (chance, target) =>
        linked(
          chance,
          target,
          async (agent, node) => {
            const asked = ask(target, node, true);
            await pause(20);
            for (let count = chance.below(40); count > 0 && !agent.socket.destroyed; count--) {
              agent.write(...Array.from({ length: 100 }, () => make(chance, agent)));
              if (agent.socket.writableLength > 4_000_000) await pause(5);
            }
            await asked;
          },
          { polite: chance.chance(0.7) },
        ),
    }),
  ),
  {
    name: 'garbage on the report stream',
    run: (chance, target) =>
      linked(chance, target, (agent) => {
        for (let count = 1 + chance.below(6); count > 0; count--) {
          const line = Buffer.from(chance.of(REPORT_LINES)(chance));
          for (let at = 0; at < line.byteLength; at += 16_384) agent.report(line.subarray(at, at + 16_384));
        }
      }),
  },
  {
    name: 'damaged frames',
    run: (chance, target) =>
      linked(chance, target, (agent) => {
        const frames = [
          ok(agent.reportStream),
          data(agent.reportStream, '\n'),
          frame(FRAME.ping, 0, 0, Buffer.alloc(8)),
          settings([[4, 100]]),
        ];
        agent.write(chance.damaged(Buffer.concat(frames)));
      }),
  },
  ...Object.entries(answers).map(
    ([name, answer]): Attack<LinkTarget> => ({
      name: `answer: ${name}`,
      run: (chance, target) =>
        linked(chance, target, (_agent, node) => ask(target, node, chance.chance(0.5)), {
          onRequest: (agent, stream) => answer(chance, agent, stream),
        }),
    }),
  ),
];
