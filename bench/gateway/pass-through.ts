/**
 * `node pass-through.ts PORT ENGINE_URL`: the least that a proxy in Node can do, with node:http, undici's dispatch, and
 * the body parsed once. What a gateway does beyond it is compared with this.
 */
import { createServer } from 'node:http';
import { Pool } from 'undici';

const [port = '0', engine = ''] = process.argv.slice(2);
const pool = new Pool(engine, { connections: 256, pipelining: 1 });

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    const { model } = JSON.parse(String(body)) as { model?: string };
    if (model === undefined) return void response.writeHead(400).end();
    const path = request.url ?? '/';
    pool.dispatch(
      { path, method: 'POST', headers: { 'content-type': 'application/json' }, body: body ?? null },
      {
        onRequestStart() {},
        onResponseStart(_controller, status, headers) {
          const out: Record<string, string> = { 'content-type': String(headers['content-type']) };
          const length = headers['content-length'];
          if (typeof length === 'string') out['content-length'] = length;
          response.writeHead(status, out);
        },
        onResponseData(_controller, chunk) {
          response.write(chunk);
        },
        onResponseEnd() {
          response.end();
        },
        onResponseError() {
          if (!response.headersSent) response.writeHead(502);
          response.end();
        },
      },
    );
  });
});
server.keepAliveTimeout = 60_000;
server.listen(Number(port), '127.0.0.1', () => process.stdout.write('ready\n'));
