/**
 * The gateway in a process of its own, as `packages/gateway/src/main.ts` runs it. With `BENCH_DOOR_PORT` callers have a
 * plain door of their own into its TLS server: the peers are called in plain, and what is compared is the link's TLS.
 */
import { subscribe } from 'node:diagnostics_channel';
import type { Server } from 'node:http';
import { createServer } from 'node:net';
import { gatewayOptions, runGateway } from '@subcloud/gateway/run';
import { loadConfig } from '@subcloud/kit/config';

let server: Server | undefined;
subscribe('http.server.request.start', (message) => {
  server = (message as { readonly server: Server }).server;
});

const gateway = await runGateway({ config: loadConfig(gatewayOptions, { env: process.env }) });
const doorPort = process.env['BENCH_DOOR_PORT'];
if (doorPort !== undefined) {
  createServer({ noDelay: true }, (socket) => {
    // Known since its first request: whoever starts this asks for its readiness before it opens the door.
    if (server === undefined) return void socket.destroy();
    server.emit('secureConnection', socket);
  }).listen(Number(doorPort), '127.0.0.1');
}
const { url, certificateFile } = gateway;
process.stdout.write(`${JSON.stringify({ url, certificateFile })}\n`);
process.once('SIGTERM', () => void gateway.stop().then(() => process.exit(0)));
