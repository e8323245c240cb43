import { type KeyObject, createHash, generateKeyPairSync, sign } from 'node:crypto';
import { type Server, createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient } from './client.ts';

const WHOAMI = { principal: null, admin: true, networkRole: null, credential: null, groups: [] };
let server: Server;
let url: string;
let keySha256: string;
let requests = 0;

beforeAll(async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  keySha256 = spkiSha256(publicKey);
  server = createServer(
    { cert: selfSigned(publicKey, privateKey), key: privateKey.export({ type: 'pkcs8', format: 'pem' }) },
    (_, response) => {
      requests += 1;
      response.setHeader('content-type', 'application/json');
      response.setHeader('connection', 'close');
      response.end(JSON.stringify(WHOAMI));
    },
  );
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

test('a self-made certificate is trusted by the SHA-256 of its key, whatever its name and dates', async () => {
  const client = createClient({ url, trustedKeySha256: keySha256.toUpperCase() });
  // A connection each: a session that was resumed would show no certificate.
  for (let round = 0; round < 3; round += 1) await client.call('whoami');
  expect(await client.call('whoami')).toEqual(WHOAMI);
  await client.close();
});

test('another key, and a self-made certificate without a pinned key, get no byte of the request', async () => {
  const before = requests;
  const other = spkiSha256(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey);
  for (const trustedKeySha256 of [other, undefined]) {
    const client = createClient({ url, credential: 'secret', trustedKeySha256 });
    await expect(client.call('whoami')).rejects.toMatchObject({ name: 'ConnectionError', fault: 'untrusted' });
    await client.close();
  }
  expect(requests).toBe(before);
});

test('a pinned key for an address without TLS is refused', () => {
  expect(() => createClient({ url: 'http://127.0.0.1:1', trustedKeySha256: keySha256 })).toThrow(TypeError);
});

function spkiSha256(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

/** A certificate (RFC 5280) for nobody, long expired: neither counts where the key is pinned. */
function selfSigned(publicKey: KeyObject, privateKey: KeyObject): string {
  const ecdsaWithSha256 = der(0x30, der(0x06, Buffer.from('2a8648ce3d040302', 'hex')));
  const commonName = der(0x30, der(0x06, Buffer.from('550403', 'hex')), der(0x0c, Buffer.from('nobody')));
  const name = der(0x30, der(0x31, commonName));
  const dates = der(0x30, der(0x17, Buffer.from('200101000000Z')), der(0x17, Buffer.from('200102000000Z')));
  const version3 = der(0xa0, der(0x02, Buffer.from([2])));
  const serial = der(0x02, Buffer.from([1]));
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const body = der(0x30, version3, serial, ecdsaWithSha256, name, dates, name, spki);
  const signature = der(0x03, Buffer.from([0]), sign('sha256', body, privateKey));
  const text = der(0x30, body, ecdsaWithSha256, signature).toString('base64');
  return `-----BEGIN CERTIFICATE-----\n${text.replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
}

/** One DER value of at most 65,535 bytes. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const size = content.length;
  const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}
