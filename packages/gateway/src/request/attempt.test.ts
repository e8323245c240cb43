import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { systemClock } from '@subcloud/kit/clock';
import { describe, expect, test } from 'vitest';
import type { NodeLink } from '../link/node-link.ts';
import { Answer } from './answer.ts';
import { type AttemptInput, attempt } from './attempt.ts';
import { Cancellation } from './cancellation.ts';

/** A node's stream whose events come in an order that no real one can be made to take at will. */
class ScriptedStream extends EventEmitter {
  readableEnded = false;
  rstCode = 0;
  end(): void {}
  close(): void {}
  pause(): void {}
  resume(): void {}
}

function scripted() {
  const stream = new ScriptedStream();
  const sent: string[] = [];
  const response = {
    writeHead: (status: number) => sent.push(String(status)),
    write: (chunk: Buffer) => sent.push(chunk.toString()) > 0,
    end: (chunk?: Buffer) => sent.push(chunk?.toString() ?? ''),
    once: () => undefined,
  } as unknown as ServerResponse;
  const answer = new Answer(response, { hidesUsage: false, promptBytes: 10, salt: '0'.repeat(32) });
  const outcome = attempt({
    link: { guard: { usefulBytes: 0 }, session: { request: () => stream } } as unknown as NodeLink,
    takePlace: () => () => undefined,
    headers: {},
    body: [Buffer.from('{}')],
    response,
    answer,
    clock: systemClock,
    cancellation: new Cancellation(),
    cut: new Cancellation(),
    onFirstByte: (status, headers) => answer.begin(status, headers, {}),
    onProgress: () => undefined,
  } satisfies AttemptInput);
  return { stream, sent, answer, outcome };
}

describe('bytes of an answer that come before its head', () => {
  const text = '{"choices":[]}';
  const head = { ':status': 200, 'content-type': 'application/json', 'content-length': String(text.length) };

  test.each(Array.from({ length: text.length + 1 }, (_, early) => early))('%i of them: it is whole', async (early) => {
    const { stream, sent, answer, outcome } = scripted();
    for (const letter of text.slice(0, early)) stream.emit('data', Buffer.from(letter));
    stream.emit('response', head);
    for (const letter of text.slice(early)) stream.emit('data', Buffer.from(letter));
    stream.emit('end');
    stream.emit('close');
    expect(await outcome).toEqual({ kind: 'answered' });
    answer.finish();
    expect(sent.join('')).toBe(`200${text}`);
  });

  test('a refusal keeps its words', async () => {
    const { stream, sent, outcome } = scripted();
    stream.emit('data', Buffer.from('no'));
    stream.emit('response', { ':status': 422 });
    stream.emit('end');
    expect(await outcome).toMatchObject({ kind: 'refused', status: 422, body: Buffer.from('no') });
    expect(sent).toEqual([]);
  });

  test('without a head they are no answer', async () => {
    const { stream, sent, outcome } = scripted();
    stream.emit('data', Buffer.from(text));
    stream.emit('end');
    expect(await outcome).toMatchObject({ kind: 'failed' });
    expect(sent).toEqual([]);
  });
});
