/**
 * Dials control on another machine. TLS 1.3 proves which key answers; a document of the network's chain says that this key
 * is control's, and the chain hangs on the fingerprint that this gateway was given. Nothing is said on a connection
 * before that holds. In turn this gateway proves its own Ed25519 key, as the certificate that it shows.
 */
import { request } from 'node:http';
import { type TLSSocket, connect } from 'node:tls';
import {
  CONTROL_ALPN,
  CONTROL_DEFAULT_PORT,
  CONTROL_HANDSHAKE_TIMEOUT_MS,
  CONTROL_PATHS,
  type ControlProtocol,
  controlIdentity,
} from '@subcloud/contract/control-channel';
import type { Clock } from '@subcloud/kit/clock';
import { DocumentError, type SigningKey, openChain, openSignedByChain } from '@subcloud/kit/signing';
import { certificateOfKey, tlsKeySha256 } from '@subcloud/kit/tls-certificate';

/** Whoever answers is not the control that this gateway was told to trust, or no control at all. */
export class UntrustedControl extends Error {
  override readonly name = 'UntrustedControl';
}

export interface ControlDialer {
  /** A connection whose other end is control. Throws UntrustedControl, or what keeps it from connecting. */
  dial(protocol: ControlProtocol): Promise<TLSSocket>;
}

export interface DialOptions {
  /** `https://HOST:PORT` */
  readonly url: URL;
  readonly key: SigningKey;
  readonly fingerprint: string;
  readonly clock: Clock;
  /** Best knowledge of control's time. */
  readonly nowMs: () => number;
}

const MAX_IDENTITY_BYTES = 1_048_576;
const IDENTITY_TIMEOUT_MS = 10_000;

export function controlDialer(options: DialOptions): ControlDialer {
  const own = certificateOfKey(options.key, options.clock.nowMs());
  /** TLS keys that the network's chain has named, until when. One: a new one replaces it. */
  let trusted: { readonly keySha256: string; readonly notAfter: number } | undefined;
  let asking: Promise<void> | undefined;

  const open = (protocol: ControlProtocol): Promise<TLSSocket> => openTls(options.url, protocol, own);
  const isTrusted = (keySha256: string): boolean =>
    trusted !== undefined && trusted.keySha256 === keySha256 && trusted.notAfter > options.nowMs();

  const ask = async (): Promise<void> => {
    const socket = await open('identity');
    try {
      const keySha256 = keyOf(socket);
      const { notAfter } = await checkedIdentity(socket, keySha256, options);
      trusted = { keySha256, notAfter };
    } finally {
      socket.destroy();
    }
  };

  return {
    async dial(protocol) {
      const socket = await open(protocol);
      try {
        const keySha256 = keyOf(socket);
        if (!isTrusted(keySha256)) {
          asking ??= ask().finally(() => (asking = undefined));
          await asking;
        }
        if (!isTrusted(keySha256)) {
          throw new UntrustedControl(
            `two connections to ${options.url.host} were answered with different TLS keys: something in between ends TLS`,
          );
        }
        if (socket.destroyed) throw new Error(`${options.url.host} closed the connection`);
        return socket;
      } catch (error) {
        socket.destroy();
        throw error;
      }
    },
  };
}

function openTls(
  url: URL,
  protocol: ControlProtocol,
  own: { readonly certificate: string; readonly privateKey: string },
): Promise<TLSSocket> {
  const alpn = CONTROL_ALPN[protocol];
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? CONTROL_DEFAULT_PORT : Number(url.port),
      minVersion: 'TLSv1.3',
      ALPNProtocols: [alpn],
      cert: own.certificate,
      key: own.privateKey,
      // Names and authorities say nothing here: the key is compared with what the network signed.
      rejectUnauthorized: false,
    });
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(CONTROL_HANDSHAKE_TIMEOUT_MS, () =>
      fail(new Error(`${url.host} did not answer in ${CONTROL_HANDSHAKE_TIMEOUT_MS} ms`)),
    );
    socket.on('error', (error: NodeJS.ErrnoException) => fail(readable(error, url)));
    socket.once('close', () => fail(new Error(`${url.host} closed the connection`)));
    socket.once('secureConnect', () => {
      if (socket.alpnProtocol !== alpn)
        return fail(new UntrustedControl(`${url.host} speaks TLS, but is no Subcloud control that takes gateways`));
      socket.setTimeout(0);
      socket.setNoDelay(true);
      socket.setKeepAlive(true, 10_000);
      resolve(socket);
    });
  });
}

/** Errors of TLS and of the network say little to the reader of a log. */
function readable(error: NodeJS.ErrnoException, url: URL): Error {
  const { code = '' } = error;
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return new UntrustedControl(`what answers at ${url.host} speaks no TLS: it is not the port for gateways`);
  if (code === 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' || code === 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION')
    return new UntrustedControl(`${url.host} speaks TLS, but is no Subcloud control that takes gateways`);
  if (code === 'ECONNREFUSED')
    return new Error(`nothing listens at ${url.host}: is control running there with --gateways-host?`);
  return new Error(`${url.host} cannot be reached: ${error.message}`, { cause: error });
}

function keyOf(socket: TLSSocket): string {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) throw new UntrustedControl('control showed no certificate');
  return tlsKeySha256(certificate.toString());
}

async function checkedIdentity(
  socket: TLSSocket,
  keySha256: string,
  { fingerprint, nowMs, url }: DialOptions,
): Promise<{ readonly notAfter: number }> {
  const parsed = controlIdentity.safeParse(await getJson(socket, url));
  if (!parsed.success) throw new UntrustedControl(`${url.host} does not say who it is in a form known here`);
  try {
    const signers = openChain(parsed.data.chain, fingerprint, nowMs());
    const certificate = openSignedByChain(parsed.data.certificate, 'control', signers, nowMs());
    if (certificate.tlsKeySha256 === keySha256) return certificate;
  } catch (error) {
    if (error instanceof DocumentError) throw new UntrustedControl(`${url.host}: ${error.message}`);
    throw error;
  }
  throw new UntrustedControl(
    `the TLS key of ${url.host} is not the one that the network names: something in between ends TLS; pass it through instead`,
  );
}

function getJson(socket: TLSSocket, url: URL): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request({
      createConnection: () => socket,
      method: 'GET',
      path: CONTROL_PATHS.identity,
      timeout: IDENTITY_TIMEOUT_MS,
      headers: { host: url.host, connection: 'close' },
    });
    call.on('timeout', () => call.destroy(new Error(`${url.host} did not say who it is in time`)));
    call.on('error', reject);
    call.on('response', (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (part: string) => {
        text += part;
        if (text.length > MAX_IDENTITY_BYTES) call.destroy(new Error(`${url.host} answers without end`));
      });
      answer.on('error', reject);
      answer.on('end', () => {
        try {
          resolve(JSON.parse(text));
        } catch {
          resolve(undefined);
        }
      });
    });
    call.end();
  });
}
