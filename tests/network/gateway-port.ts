/** Control's port for gateways, as anybody on the network may try it. */
import { request } from 'node:http';
import { connect } from 'node:tls';
import { CONTROL_ALPN } from '@subcloud/contract/control-channel';
import type { SigningKey } from '@subcloud/kit/signing';
import { certificateOfKey, makeTlsCertificate } from '@subcloud/kit/tls-certificate';

export interface Asked {
  readonly status: number;
  readonly body: string;
}

/** One request on the port for gateways, as whoever holds `key`; rejects where the connection is refused. */
export function ask(
  port: number,
  as: { readonly key?: SigningKey; readonly alpn?: string; readonly p256?: boolean },
  call: { readonly method?: string; readonly path: string; readonly body?: object },
): Promise<Asked> {
  const own =
    as.p256 === true
      ? makeTlsCertificate(['localhost'], Date.now())
      : as.key === undefined
        ? undefined
        : certificateOfKey(as.key, Date.now());
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: '127.0.0.1',
      port,
      ALPNProtocols: [as.alpn ?? CONTROL_ALPN.watch],
      rejectUnauthorized: false,
      ...(own === undefined ? {} : { cert: own.certificate, key: own.privateKey }),
    });
    socket.on('error', reject);
    socket.once('secureConnect', () => {
      const sent = request({ createConnection: () => socket, path: call.path, method: call.method ?? 'POST' });
      sent.on('error', reject);
      sent.on('response', (answer) => {
        let body = '';
        answer.setEncoding('utf8');
        answer.on('data', (part: string) => (body += part));
        answer.on('close', () => {
          socket.destroy();
          resolve({ status: answer.statusCode ?? 0, body });
        });
      });
      sent.end(call.body === undefined ? undefined : JSON.stringify(call.body));
    });
  });
}
