/** A delaying proxy on another machine: HOST PORT TO_HOST TO_PORT MS. */
import { startTcpProxy } from '@subcloud/testkit/tcp-proxy';

const [host = '', port, toHost = '', toPort, delayMs] = process.argv.slice(2);
await startTcpProxy({ host, port: Number(port), to: { host: toHost, port: Number(toPort) }, delayMs: Number(delayMs) });
process.stdout.write('ready\n');
