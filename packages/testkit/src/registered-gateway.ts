import { request } from 'node:http';
import { join } from 'node:path';
import { WATCH_PATHS } from '@subcloud/contract/watch';
import { newId } from '@subcloud/kit/clock';
import { generateSigningKey } from '@subcloud/kit/signing';

/** A gateway that has asked for its certificate by the socket in control's folder and was not heard of since. Its id. */
export async function registeredGateway(dataDir: string): Promise<string> {
  const gateway = newId('gw');
  const body = JSON.stringify({
    gateway,
    publicKey: generateSigningKey().publicKey,
    tlsKeySha256: null,
    url: 'http://127.0.0.1:9',
  });
  const socketPath = join(dataDir, 'run', 'gateways.sock');
  const status = await new Promise<number>((resolve, reject) => {
    const sent = request({ socketPath, path: WATCH_PATHS.certificate, method: 'POST', agent: false }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode ?? 0));
    });
    sent.on('error', reject);
    sent.end(body);
  });
  if (status !== 200) throw new Error(`control answered ${status}`);
  return gateway;
}
