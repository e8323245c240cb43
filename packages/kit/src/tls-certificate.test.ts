import { X509Certificate } from 'node:crypto';
import { type AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import { expect, test } from 'vitest';
import { generateSigningKey } from './signing.ts';
import { certificateOfKey, ed25519KeyOf, makeTlsCertificate, tlsKeySha256 } from './tls-certificate.ts';

test('names, addresses and dates are those that were asked for, and the signature holds', () => {
  const nowMs = Date.UTC(2045, 5, 1);
  const made = makeTlsCertificate(['gateway.example', '10.1.2.3', '2001:db8::5', '::1'], nowMs);
  const read = new X509Certificate(made.certificate);
  expect(read.verify(read.publicKey)).toBe(true);
  expect(read.checkHost('gateway.example')).toBe('gateway.example');
  for (const address of ['10.1.2.3', '2001:db8::5', '::1']) expect(read.checkIP(address)).toBe(address);
  expect(Date.parse(read.validFrom)).toBeLessThan(nowMs);
  expect(Date.parse(read.validTo)).toBeGreaterThan(nowMs + 9 * 365 * 86_400_000);
});

test('a client that trusts the certificate connects, and sees the key that the hash names', async () => {
  const made = makeTlsCertificate(['localhost', '127.0.0.1'], Date.now());
  const server = createServer({ key: made.privateKey, cert: made.certificate }, (socket) => socket.end());
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    const hash = await new Promise<string>((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', ca: made.certificate }, () => {
        resolve(tlsKeySha256(socket.getPeerX509Certificate()?.toString() ?? ''));
        socket.destroy();
      });
      socket.once('error', reject);
    });
    expect(hash).toBe(tlsKeySha256(made.certificate));
  } finally {
    server.close();
  }
});

test('a client that shows a certificate of its signing key proves that very key to the server', async () => {
  const served = makeTlsCertificate(['localhost'], Date.now());
  const key = generateSigningKey();
  const shown = certificateOfKey(key, Date.now());
  const proved = Promise.withResolvers<string | undefined>();
  const server = createServer(
    {
      key: served.privateKey,
      cert: served.certificate,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
    },
    (socket) => {
      const certificate = socket.getPeerX509Certificate();
      proved.resolve(certificate === undefined ? undefined : ed25519KeyOf(certificate));
      socket.end();
    },
  );
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    const socket = connect({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      key: shown.privateKey,
      cert: shown.certificate,
    });
    socket.on('error', proved.reject);
    expect(await proved.promise).toBe(key.publicKey);
    socket.destroy();
    expect(ed25519KeyOf(new X509Certificate(served.certificate))).toBeUndefined();
  } finally {
    server.close();
  }
});
