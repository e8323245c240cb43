/** Off loopback everything is TLS: enrolment, link and callers, with a certificate that the gateway makes itself. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { agentOptions, runAgent } from '@subcloud/agent/run';
import { controlOptions, runControl } from '@subcloud/control/run';
import { gatewayOptions, runGateway } from '@subcloud/gateway/run';
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { silentLog } from '@subcloud/kit/log';
import { createClient } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { testDatabase } from '@subcloud/testkit/test-database';

const shared = { clock: systemClock, random: systemRandom, log: silentLog };

test('a gateway that listens off loopback serves agents and callers over TLS alone, pinned by the join token', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'subcloud-tls-'));
  try {
    const { connectionString: databaseUrl } = await testDatabase();
    await using _control = await runControl({
      ...shared,
      config: loadConfig(controlOptions, { flags: { dataDir, databaseUrl } }),
    });
    await using gateway = await runGateway({
      ...shared,
      config: loadConfig(gatewayOptions, {
        flags: { dataDir: join(dataDir, 'gateway'), controlDir: join(dataDir, 'run'), host: '0.0.0.0', port: 0 },
      }),
    });
    await eventually('the gateway has a table', () => gateway.ready());
    expect(gateway.url).toMatch(/^https:/);
    const url = `https://127.0.0.1:${gateway.port}`;
    const { adminToken, apiKey } = JSON.parse(readFileSync(join(dataDir, 'credentials.json'), 'utf8')) as {
      adminToken: string;
      apiKey: string;
    };
    const trustedKeySha256 = gateway.tlsKeySha256 ?? undefined;
    const admin = createClient({ url, credential: adminToken, trustedKeySha256 });
    const { joinToken } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
    await using engine = await startScriptedEngine({ models: ['tls-model'] });
    const start = (token: string, url_: string) =>
      runAgent({
        ...shared,
        config: loadConfig(agentOptions, {
          flags: {
            url: url_,
            joinToken: token,
            dataDir: join(dataDir, `agent-${url_.length}`),
            engines: [{ url: engine.url }],
            hardware: 'none',
          },
        }),
      });

    // Whoever knows another network's fingerprint does not send its token here.
    const foreign = `${joinToken.slice(0, joinToken.indexOf('.'))}.${'0'.repeat(64)}`;
    await expect(start(foreign, `${url}/`)).rejects.toThrow(/token was not sent/);

    await using agent = await start(joinToken, url);
    await eventually('the model is served', async () => {
      const answer = await call(
        gateway.port,
        apiKey,
        '{"model":"tls-model","messages":[{"role":"user","content":"hello"}]}',
      );
      return answer.status === 200 && answer.body.includes('tls-model') && agent.linked();
    });
    // Without the pin nothing is said.
    await expect(createClient({ url, credential: adminToken }).call('whoami')).rejects.toMatchObject({
      fault: 'untrusted',
    });
    await admin.close();
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}, 60_000);

function call(port: number, key: string, body: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const options = {
      host: '127.0.0.1',
      port,
      path: '/v1/chat/completions',
      method: 'POST',
      headers,
      rejectUnauthorized: false,
      agent: false,
    };
    const sent = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
