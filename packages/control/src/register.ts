/**
 * What control listens with. Two Unix sockets, so that nothing that a caller sends can ever reach what gateways use:
 * `api.sock` takes what the gateway passes on from callers, `gateways.sock` the gateways themselves. Gateways on other
 * machines come over TLS (watch/tls-listener.ts), where the two are protocols of their own.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { type Server, type ServerResponse, createServer } from 'node:http';
import { join } from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { AppError, toEnvelope } from '@subcloud/contract/errors';
import type { Hono } from 'hono';

export interface ControlSockets {
  readonly api: string;
  readonly gateways: string;
}

export function controlSockets(dataDir: string): ControlSockets {
  const folder = join(dataDir, 'run');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  return { api: join(folder, 'api.sock'), gateways: join(folder, 'gateways.sock') };
}

/** The control API as an HTTP server that does not listen yet. `held`: whether this replica may answer, at this moment. */
export function createApiServer(app: Pick<Hono, 'fetch'>, held: () => boolean): Server {
  const listener = getRequestListener(app.fetch);
  const server: Server = createServer({ maxHeaderSize: 16_384 }, (request, response) => {
    // A body that was refused unread is read to its end, so that the answer arrives and not a reset.
    response.once('finish', () => request.resume());
    if (held()) void listener(request, response);
    else answerStandby(response);
  });
  server.headersTimeout = 10_000;
  server.requestTimeout = 60_000;
  return server;
}

export async function startApiServer(server: Server, socketPath: string): Promise<{ close(): Promise<void> }> {
  rmSync(socketPath, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  chmodSync(socketPath, 0o600);
  return {
    async close() {
      server.closeIdleConnections();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** What a replica answers with that does not lead: on both sockets, whatever is asked. */
export function startStandbyServer(socketPath: string): Promise<{ close(): Promise<void> }> {
  const nothing = { fetch: (): Response => new Response(null, { status: 503 }) };
  return startApiServer(
    createApiServer(nothing, () => false),
    socketPath,
  );
}

function answerStandby(response: ServerResponse): void {
  const fault = new AppError('platform.standby', { retryAfterS: 2 });
  response.writeHead(fault.status, { 'content-type': 'application/json', 'retry-after': '2' });
  response.end(JSON.stringify(toEnvelope(fault)));
}
