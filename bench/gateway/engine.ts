/**
 * `node engine.ts KIND PORT MODEL`: an engine that costs as little as one can in Node. Of a `stream` the 64 events come
 * one a turn of the loop, of a `paced` one 5 to 15 ms apart; `delayed` is a short answer after 60 ms.
 */
import { createServer } from 'node:http';
import { type ServerResponse } from 'node:http';
import { DELAY_MS, EVENTS, SHORT_ANSWER, eventOf } from './work.ts';

const [kind = 'stream', port = '0', model = 'm'] = process.argv.slice(2);
const paced = kind === 'paced';

createServer((request, response) => {
  if (request.url === '/v1/models') {
    response.writeHead(200, { 'content-type': 'application/json' });
    return void response.end(JSON.stringify({ object: 'list', data: [{ id: model, object: 'model' }] }));
  }
  if (request.method !== 'POST') return void response.writeHead(404).end();
  request.resume();
  request.on('end', () => {
    if (kind === 'delayed') setTimeout(() => answer(response), DELAY_MS);
    else stream(response);
  });
})
  .listen(Number(port), '127.0.0.1')
  .on('listening', () => process.stdout.write('ready\n')).keepAliveTimeout = 600_000;

function answer(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(SHORT_ANSWER) });
  response.end(SHORT_ANSWER);
}

function stream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  let index = 0;
  const next = (): void => {
    response.write(eventOf(index));
    index += 1;
    if (index === EVENTS) return void response.end('data: [DONE]\n\n');
    if (paced) setTimeout(next, 5 + ((index * 7) % 11));
    else setImmediate(next);
  };
  next();
}
