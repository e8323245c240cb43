/** The name of the network does not resolve, for a while: the agent says so and comes by itself when it does. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { makeTlsCertificate } from '@subcloud/kit/tls-certificate';
import { eventually } from '@subcloud/testkit/eventually';
import { startPeerGateway } from '@subcloud/testkit/peer-gateway';

const AGENT = fileURLToPath(new URL('../../packages/agent/src/main.ts', import.meta.url));
const missing = mountsMissing();

function mountsMissing(): string | undefined {
  try {
    execFileSync('unshare', ['--mount', 'mount', '--bind', '/etc/hosts', '/etc/hosts'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'mount namespaces need root on Linux';
  }
}

describe.skipIf(missing !== undefined)(
  `a name that does not resolve${missing === undefined ? '' : ` (not run: ${missing})`}`,
  () => {
    test('keeps an agent out, is said, and is asked again until it resolves', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'subcloud-names-'));
      const hosts = join(folder, 'hosts');
      writeFileSync(hosts, '127.0.0.1 localhost\n');
      writeFileSync(join(folder, 'resolv.conf'), 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n');
      try {
        const { certificate, privateKey } = makeTlsCertificate(['network.test'], Date.now());
        await using gateway = await startPeerGateway({ tls: { cert: certificate, key: privateKey } });
        const { port } = new URL(gateway.url);
        const own = join(folder, 'agent');
        const start = () => {
          // Names are looked up in files of the test's own, seen by this process alone.
          const mounts = `mount --bind ${hosts} /etc/hosts && mount --bind ${folder}/resolv.conf /etc/resolv.conf && exec "$0" "$1"`;
          const child = spawn('unshare', ['--mount', 'bash', '-c', mounts, process.execPath, AGENT], {
            env: {
              ...process.env,
              SUBCLOUD_URL: `https://network.test:${port}`,
              SUBCLOUD_JOIN_TOKEN: gateway.joinToken,
              SUBCLOUD_DATA_DIR: own,
              SUBCLOUD_HARDWARE: 'none',
            },
            stdio: ['ignore', 'pipe', 'pipe'],
          });
          let said = '';
          for (const stream of [child.stdout, child.stderr])
            stream.on('data', (part: Buffer) => (said += part.toString()));
          const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
          return { child, ended, said: () => said };
        };
        const agent = start();
        try {
          const says = /cannot be reached: getaddrinfo/;
          await eventually('the new agent says why', () => says.test(agent.said()), 30_000);
          writeFileSync(hosts, '127.0.0.1 localhost network.test\n');
          await eventually('it is linked', () => gateway.links.length > 0, 60_000);
          writeFileSync(hosts, '127.0.0.1 localhost\n');
          const saidBefore = agent.said().length;
          gateway.cut();
          await eventually('it says why it is out', () => says.test(agent.said().slice(saidBefore)), 30_000);
          expect(agent.child.exitCode).toBeNull();
          const before = gateway.links.length;
          writeFileSync(hosts, '127.0.0.1 localhost network.test\n');
          await eventually('it is linked again', () => gateway.links.length > before, 60_000);
        } finally {
          agent.child.kill('SIGTERM');
          await agent.ended;
        }
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    }, 180_000);
  },
);
