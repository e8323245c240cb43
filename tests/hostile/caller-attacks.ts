/** What a hostile caller does to a gateway's port: HTTP/1.1 by hand, and bodies made to hurt. */
import type { Socket } from 'node:net';
import { Chance } from './chance.ts';
import { open } from './hostile-agent.ts';

export interface Target {
  readonly port: number;
  readonly apiKey: string;
  /** Of the honest node. */
  readonly model: string;
}

export interface Attack<On> {
  readonly name: string;
  run(chance: Chance, target: On): Promise<void>;
}

const PATHS = [
  '/v1/chat/completions',
  '/s/global/v1/chat/completions',
  '/v1/models',
  '/api/v1/x',
  '/link',
  '/',
  '/readyz',
];
const ANSWER_WAIT_MS = 400;

function head(target: Target, path: string, lines: readonly string[], method = 'POST'): string {
  const own = ['host: x', `authorization: Bearer ${target.apiKey}`, 'content-type: application/json'];
  return `${method} ${path} HTTP/1.1\r\n${[...own, ...lines].join('\r\n')}\r\n\r\n`;
}

function chat(target: Target, stream: boolean): string {
  return JSON.stringify({ model: target.model, stream, messages: [{ role: 'user', content: 'x' }] });
}

/** Writes, waits for an answer or the end for a short while, and leaves in one of the ways that there are. */
async function say(chance: Chance, target: Target, ...parts: readonly (string | Buffer)[]): Promise<void> {
  const socket = await open(target.port);
  socket.on('error', () => {});
  for (const part of parts) {
    if (socket.destroyed) break;
    if (!socket.write(part)) await drained(socket);
    if (chance.chance(0.3)) await new Promise((resolve) => setImmediate(resolve));
  }
  if (chance.chance(0.7)) await answered(socket);
  leave(chance, socket);
}

function leave(chance: Chance, socket: Socket): void {
  if (chance.chance(0.3)) socket.resetAndDestroy();
  else if (chance.below(10) < 3) {
    // Half closed first, gone soon after.
    socket.end();
    setTimeout(() => socket.destroy(), 50);
  } else socket.destroy();
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, ANSWER_WAIT_MS);
    socket.once('drain', done).once('close', done);
  });
}

function answered(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, ANSWER_WAIT_MS);
    socket.once('data', done).once('close', done);
    socket.resume();
  });
}

export const callerAttacks: readonly Attack<Target>[] = [
  { name: 'garbage', run: (chance, target) => say(chance, target, chance.bytes(chance.below(2_000))) },
  {
    name: 'damaged request',
    run(chance, target) {
      const body = chat(target, chance.chance(0.5));
      const whole = Buffer.from(head(target, chance.of(PATHS), [`content-length: ${body.length}`]) + body);
      return say(chance, target, chance.damaged(whole));
    },
  },
  {
    name: 'framing that two readers could understand differently',
    run(chance, target) {
      const body = chat(target, false);
      const lines = chance.of([
        [`content-length: ${body.length}`, 'content-length: 3'],
        [`content-length: ${body.length}`, 'transfer-encoding: chunked'],
        ['transfer-encoding: chunked', 'transfer-encoding: identity'],
        ['transfer-encoding: xchunked'],
        ['transfer-encoding : chunked'],
        [`content-length: ${body.length}, ${body.length}`],
        ['content-length: -1'],
        ['content-length: 0x10'],
        ['content-length: 99999999999999999999'],
        [`content-length: ${body.length}`, 'x: a\r\n folded: b'],
        [`content-length: ${body.length}`, 'x: a\0b'],
        [`content-length: ${body.length}\n`, 'connection: keep-alive, content-length'],
      ]);
      const second = head(target, '/v1/models', [], 'GET');
      return say(chance, target, head(target, chance.of(PATHS), lines) + body, second);
    },
  },
  {
    name: 'chunks that are none',
    run(chance, target) {
      const chunks = chance.of([
        '5\r\nhello\r\n',
        'fffffffff\r\nx',
        '-1\r\n\r\n',
        '5;a=b;c\r\nhello\r\n0\r\n',
        '\r\n',
        'g\r\n',
        '0\r\nx: y\r\n\r\nGET',
      ]);
      return say(
        chance,
        target,
        head(target, chance.of(PATHS), ['transfer-encoding: chunked']),
        chunks.repeat(1 + chance.below(50)),
      );
    },
  },
  {
    name: 'body shorter or longer than declared',
    run(chance, target) {
      const body = chat(target, chance.chance(0.5));
      const declared = Math.max(0, body.length + chance.below(40) - 20);
      return say(chance, target, head(target, chance.of(PATHS), [`content-length: ${declared}`]) + body);
    },
  },
  {
    name: 'huge body',
    run(chance, target) {
      const declared = chance.of([100_000_000, 33_554_433, 33_554_432, 8_000_000]);
      const piece = Buffer.alloc(65_536, chance.of(['[', '[],', '"a":1,', ' ', '9', '\\u0000']));
      const pieces = Array.from({ length: chance.below(60) }, () => piece);
      const framing = chance.chance(0.5) ? `content-length: ${declared}` : 'transfer-encoding: chunked';
      const start = chance.chance(0.5) ? '{"model":"x","y":[' : '';
      const whole = framing.startsWith('t')
        ? pieces.flatMap((bytes) => [`${bytes.byteLength.toString(16)}\r\n`, bytes, '\r\n'])
        : [start, ...pieces];
      return say(chance, target, head(target, chance.of(PATHS), [framing]), ...whole);
    },
  },
  {
    name: 'deep or doubled JSON',
    run(chance, target) {
      const deep = '['.repeat(chance.below(20_000));
      const body = chance.of([
        `{"model":"${target.model}","x":${deep}`,
        `{"model":"${target.model}","x":${'{"a":'.repeat(chance.below(5_000))}1`,
        `{"model":"a","model":"${target.model}"}`,
        `{"MODEL":"${target.model}"}`,
        `{"model":"${target.model}","stream_options":${'[1,'.repeat(100)}`,
        `{"model":"${target.model}","stream":true,"stream_options":{"__proto__":{"include_usage":1}}}`,
        `{"model":"${target.model}\\ud800","stream":null}`,
        `\ufeff{"model":"${target.model}"}`,
        '',
        'null',
      ]);
      return say(chance, target, head(target, PATHS[0] ?? '', [`content-length: ${Buffer.byteLength(body)}`]) + body);
    },
  },
  {
    name: 'headers without end',
    run(chance, target) {
      const lines = Array.from(
        { length: chance.below(3_000) },
        (_, index) => `x-${index}: ${'a'.repeat(chance.below(20))}`,
      );
      return say(chance, target, head(target, chance.of(PATHS), lines).slice(0, -2), 'y: z');
    },
  },
  {
    name: 'drip',
    async run(chance, target) {
      const body = chat(target, true);
      const whole = head(target, chance.of(PATHS), [`content-length: ${body.length}`]) + body;
      const cut = chance.below(whole.length);
      const bytes = Array.from(whole.slice(0, Math.min(cut, 60)));
      await say(chance, target, ...bytes, whole.slice(60, cut));
    },
  },
  {
    name: 'many requests at once on one connection',
    run(chance, target) {
      const body = chat(target, chance.chance(0.5));
      const one = head(target, PATHS[0] ?? '', [`content-length: ${body.length}`]) + body;
      return say(chance, target, one.repeat(1 + chance.below(60)));
    },
  },
  {
    name: 'caller that leaves its answer',
    async run(chance, target) {
      const body = chat(target, true);
      const socket = await open(target.port);
      socket.on('error', () => {});
      socket.write(head(target, PATHS[0] ?? '', [`content-length: ${body.length}`]) + body);
      socket.pause();
      await new Promise((resolve) => setTimeout(resolve, chance.below(30)));
      leave(chance, socket);
    },
  },
  {
    name: 'names that clash',
    run(chance, target) {
      const body = chat(target, false);
      const lines = chance.of([
        ['x-subcloud: other'],
        ['x-subcloud: global', 'x-subcloud: other'],
        ['x-subcloud-client-address: 9.9.9.9', 'x-forwarded-for: 9.9.9.9', 'x-subcloud-pool: other'],
        [`authorization: Bearer ${'x'.repeat(5_000)}`],
        ['expect: 100-continue'],
        ['expect: nonsense'],
        ['upgrade: h2c', 'connection: upgrade, http2-settings', 'http2-settings: AAAA'],
        ['content-encoding: gzip'],
        ['content-type: text/plain'],
        ['trailer: authorization', 'te: trailers'],
      ]);
      return say(chance, target, head(target, chance.of(PATHS), [...lines, `content-length: ${body.length}`]) + body);
    },
  },
];
