/** The TLS certificate of the public port: the files that are given, or one that the gateway makes once and keeps. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '@subcloud/kit/clock';
import { readFileIfPresent, writeFileDurably } from '@subcloud/kit/files';
import { type TlsCertificate, makeTlsCertificate } from '@subcloud/kit/tls-certificate';
import { type GatewayConfig, isLoopback } from '../config.ts';

export interface FiledCertificate extends TlsCertificate {
  readonly certificateFile: string;
  readonly keyFile: string;
}

type TlsConfig = Pick<GatewayConfig, 'tlsCertificate' | 'tlsKey' | 'host' | 'dataDir' | 'behindProxy' | 'publicUrl'>;

/** Undefined where the port is plain. Throws when the given files cannot be read, or only one is given. */
export function tlsOf(config: TlsConfig, clock: Clock): FiledCertificate | undefined {
  const { tlsCertificate, tlsKey, host, dataDir } = config;
  if (tlsCertificate !== undefined && tlsKey !== undefined) {
    return {
      certificate: readFileSync(tlsCertificate, 'utf8'),
      privateKey: readFileSync(tlsKey, 'utf8'),
      certificateFile: tlsCertificate,
      keyFile: tlsKey,
    };
  }
  if (tlsCertificate !== undefined || tlsKey !== undefined) {
    throw new Error('--tls-certificate and --tls-key belong together: give both or neither');
  }
  // Behind a proxy nodes come with TLS passed through, wherever the proxy runs.
  if (isLoopback(host) && config.behindProxy === undefined) return undefined;
  const certificatePath = join(dataDir, 'gateway-tls.pem');
  const keyPath = join(dataDir, 'gateway-tls.key');
  const files = { certificateFile: certificatePath, keyFile: keyPath };
  const certificate = readFileIfPresent(certificatePath);
  const privateKey = readFileIfPresent(keyPath);
  if (certificate !== undefined && privateKey !== undefined) return { certificate, privateKey, ...files };
  const named = config.publicUrl === undefined ? [] : [new URL(config.publicUrl).hostname];
  const made = makeTlsCertificate([...new Set([...named, host, 'localhost'])], clock.nowMs());
  // The certificate last: where it stands, its key does too.
  writeFileDurably(keyPath, made.privateKey);
  writeFileDurably(certificatePath, made.certificate);
  return { ...made, ...files };
}
