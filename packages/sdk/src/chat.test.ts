import { type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { createChatClient } from './chat.ts';

const open: Server[] = [];
afterEach(() => {
  for (const server of open.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function listen(answer: (response: ServerResponse, path: string) => void) {
  const paths: string[] = [];
  const server = createServer((request, response) => {
    paths.push(request.url ?? '');
    request.resume().on('end', () => answer(response, request.url ?? ''));
  });
  open.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return { chat: createChatClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }), paths };
}

function stream(response: ServerResponse, events: readonly string[]): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'x-request-id': 'req_7' });
  response.end(events.map((data) => `data: ${data}\n\n`).join(''));
}

const chunk = (content: string): string => JSON.stringify({ choices: [{ index: 0, delta: { content } }] });
const question = { model: 'm', messages: [{ role: 'user', content: 'hello' }] } as const;

async function textOf(pieces: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const piece of pieces) text += piece;
  return text;
}

test('the pieces of an answer are its text, and a pool is named by path', async () => {
  const { chat, paths } = await listen((response) =>
    stream(response, [chunk('Par'), '{"choices":[]}', chunk('is'), '[DONE]']),
  );
  expect(await textOf(chat.stream({ ...question, pool: 'eu-only' }))).toBe('Paris');
  expect(paths).toEqual(['/s/eu-only/v1/chat/completions']);
  await chat.close();
});

test('a stream that ends without its end mark is an interrupted answer', async () => {
  const { chat } = await listen((response) => stream(response, [chunk('Par')]));
  await expect(textOf(chat.stream(question))).rejects.toMatchObject({
    code: 'upstream.interrupted',
    requestId: 'req_7',
  });
  await chat.close();
});

test('an error inside a stream is thrown as the error that it is', async () => {
  const error = { message: 'withdrawn', type: 'server_error', code: 'upstream.withdrawn', param: null, details: null };
  const { chat } = await listen((response) => stream(response, [chunk('Par'), JSON.stringify({ error }), '[DONE]']));
  await expect(textOf(chat.stream(question))).rejects.toMatchObject({
    name: 'ApiError',
    code: 'upstream.withdrawn',
    status: 503,
  });
  await chat.close();
});

test('a connection that breaks in the middle is an error, not an end', async () => {
  const { chat } = await listen((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`data: ${chunk('Par')}\n\n`, () => response.destroy());
  });
  await expect(textOf(chat.stream(question))).rejects.toMatchObject({ name: 'ConnectionError' });
  await chat.close();
});
