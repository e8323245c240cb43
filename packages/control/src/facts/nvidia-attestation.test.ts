/** Tokens are made by an issuer of our own on loopback, in the layout that the attestation service documents. */
import { createHash } from 'node:crypto';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AppError } from '@subcloud/contract/errors';
import { generateSigningKey } from '@subcloud/kit/signing';
import { virtualClock } from '@subcloud/testkit/virtual-clock';
import { type CryptoKey, SignJWT, UnsecuredJWT, exportJWK, generateKeyPair } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fetchText } from './fetch-text.ts';
import { type NodeKey, type NvidiaToken, type NvidiaVerifier, createNvidiaVerifier } from './nvidia-attestation.ts';

const ISSUER = 'https://nras.attestation.example';
const START_MS = 1_700_000_000_000;

interface Key {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: object;
}
async function makeKey(kid: string, alg: string): Promise<Key> {
  const { privateKey, publicKey } = await generateKeyPair(alg);
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg } };
}

let server: Server;
let url: string;
let served: { keys: object[] };
let reads = 0;
let answer: (() => string) | undefined;
let es: Key;
let rs: Key;
let stranger: Key;
let clock: ReturnType<typeof virtualClock>;
let verifier: NvidiaVerifier;
const node: NodeKey = { id: 'nod_a', publicKey: generateSigningKey().publicKey };
const other: NodeKey = { id: 'nod_b', publicKey: generateSigningKey().publicKey };

beforeAll(async () => {
  [es, rs, stranger] = await Promise.all([makeKey('es', 'ES384'), makeKey('rs', 'RS256'), makeKey('new', 'ES384')]);
  server = createServer((_request, response) => {
    reads += 1;
    response.end(answer?.() ?? JSON.stringify(served));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  served = { keys: [es.jwk, rs.jwk] };
  reads = 0;
  answer = undefined;
  clock = virtualClock(START_MS);
  verifier = createNvidiaVerifier({ jwksUrl: url, issuer: ISSUER, audience: undefined, fetchText, clock });
});

const seconds = (): number => Math.floor(clock.nowMs() / 1_000);
const sign = (claims: object, key: Key = es): Promise<string> =>
  new SignJWT({ ...claims }).setProtectedHeader({ alg: key.alg, kid: key.kid }).sign(key.privateKey);

interface Recipe {
  readonly nonce: string;
  readonly key?: Key;
  readonly overall?: object;
  readonly device?: object;
  readonly devices?: number;
}

async function bundle({ nonce, key = es, overall = {}, device = {}, devices = 1 }: Recipe): Promise<NvidiaToken> {
  const common = { iss: ISSUER, iat: seconds(), nbf: seconds(), exp: seconds() + 3_600, eat_nonce: nonce };
  const tokens: Record<string, string> = {};
  for (let index = 0; index < devices; index += 1) {
    const claims = {
      ...common,
      sub: 'NVIDIA-GPU-ATTESTATION',
      measres: 'success',
      dbgstat: 'disabled',
      secboot: true,
      hwmodel: 'GH100 A01 GSP BROM',
      ueid: `device-${index}`,
      'x-nvidia-gpu-attestation-report-nonce-match': true,
      ...device,
    };
    tokens[`GPU-${index}`] = await sign(claims, key);
  }
  const submods = Object.fromEntries(
    Object.entries(tokens).map(([name, token]) => [
      name,
      ['DIGEST', ['SHA-256', createHash('sha256').update(token).digest('hex')]],
    ]),
  );
  const claims = {
    ...common,
    sub: 'NVIDIA-PLATFORM-ATTESTATION',
    'x-nvidia-overall-att-result': true,
    submods,
    ...overall,
  };
  return [['JWT', await sign(claims, key)], tokens];
}

async function refused(token: NvidiaToken, about: NodeKey = node): Promise<string> {
  try {
    await verifier.verify(about, token);
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    expect((error as AppError).code).toBe('policy.claim_refused');
    return (error as AppError).publicMessage;
  }
  throw new Error('it was accepted');
}

test.each(['ES384', 'RS256'])('a token signed with %s is a hardware claim that ends with it', async (alg) => {
  const { nonce, challenge } = verifier.challenge(node);
  const raw = Buffer.concat([Buffer.from(challenge, 'hex'), Buffer.from(node.publicKey, 'base64url')]);
  expect(nonce).toBe(createHash('sha256').update(raw).digest('hex'));
  const attestation = await verifier.verify(node, await bundle({ nonce, key: alg === 'ES384' ? es : rs, devices: 2 }));
  const gpu = { model: null, driverName: 'GH100 A01 GSP BROM', vramGiB: null, confidential: true };
  expect(attestation).toMatchObject({
    subject: { node: node.id },
    fact: 'hardware',
    issuer: 'nvidia',
    issuerOwner: null,
    value: { gpus: [gpu, gpu] },
    devices: ['device-0', 'device-1'],
    issuedAt: clock.nowMs(),
    expiresAt: (seconds() + 3_600) * 1_000,
  });
});

test('a claim never lasts longer than a day, however long the token does', async () => {
  const { nonce } = verifier.challenge(node);
  const end = { exp: seconds() + 30 * 86_400 };
  const { expiresAt } = await verifier.verify(node, await bundle({ nonce, overall: end, device: end }));
  expect(expiresAt).toBe(START_MS + 86_400_000);
});

describe('a nonce is for one node, one time, and ten minutes', () => {
  test('one that nobody gave out', async () => {
    expect(await refused(await bundle({ nonce: 'ab'.repeat(32) }))).toContain('given out');
  });
  test("another node's", async () => {
    const token = await bundle({ nonce: verifier.challenge(other).nonce });
    expect(await refused(token)).toContain('given out');
    expect((await verifier.verify(other, token)).subject).toEqual({ node: other.id });
  });
  test('one that was used', async () => {
    const token = await bundle({ nonce: verifier.challenge(node).nonce });
    await verifier.verify(node, token);
    expect(await refused(token)).toContain('given out');
  });
  test('one that was given out too long ago', async () => {
    const { nonce } = verifier.challenge(node);
    clock.advance(600_001);
    expect(await refused(await bundle({ nonce }))).toContain('given out');
  });
  test('a refused token does not spend it', async () => {
    const { nonce } = verifier.challenge(node);
    await refused(await bundle({ nonce, overall: { iss: 'https://else.example' } }));
    await verifier.verify(node, await bundle({ nonce }));
  });
});

describe('what does not hold is refused', () => {
  const cases: readonly (readonly [string, Omit<Recipe, 'nonce'>, string])[] = [
    ['another issuer', { overall: { iss: 'https://else.example' } }, 'iss'],
    ['another issuer of a device', { device: { iss: 'https://else.example' } }, 'iss'],
    ['a failed overall result', { overall: { 'x-nvidia-overall-att-result': false } }, 'overall result'],
    ['an overall result in words', { overall: { 'x-nvidia-overall-att-result': 'true' } }, 'overall result'],
    ['measurements that do not match', { device: { measres: 'fail' } }, 'measurements'],
    ['no measurements', { device: { measres: undefined } }, 'measurements'],
    ['debugging', { device: { dbgstat: 'enabled' } }, 'debugging'],
    ['no word of debugging', { device: { dbgstat: undefined } }, 'debugging'],
    ['no secure boot', { device: { secboot: false } }, 'secboot'],
    ['a report for another nonce', { device: { 'x-nvidia-gpu-attestation-report-nonce-match': false } }, 'nonce-match'],
    ['a nonce of its own in a device', { device: { eat_nonce: '00' } }, 'nonce'],
    ['no device identity', { device: { ueid: undefined } }, 'identity'],
    ['one device twice', { device: { ueid: 'same' }, devices: 2 }, 'twice'],
    ['no devices', { overall: { submods: {} } }, 'devices'],
    ['a device that did not come', { overall: { submods: { 'GPU-0': ['DIGEST', ['SHA-256', '00']] } } }, 'GPU-0'],
    ['no end', { overall: { exp: undefined } }, 'exp'],
    ['a key that the service does not have', {}, 'no applicable key'],
  ];
  test.each(cases)('%s', async (name, recipe, told) => {
    const { nonce } = verifier.challenge(node);
    const token = await bundle({ nonce, ...recipe, ...(name.startsWith('a key') ? { key: stranger } : {}) });
    expect(await refused(token)).toContain(told);
  });

  test('an expired token, overall or of a device', async () => {
    const { nonce } = verifier.challenge(node);
    for (const part of ['overall', 'device'] as const) {
      const token = await bundle({ nonce, [part]: { exp: seconds() - 1 } });
      expect(await refused(token)).toMatch(/exp/);
    }
    const token = await bundle({ nonce, overall: { exp: seconds() + 30 } });
    clock.advance(31_000);
    expect(await refused(token)).toContain('expired');
  });

  test('alg none, an algorithm with a shared key, and no token at all', async () => {
    const { nonce } = verifier.challenge(node);
    const [[, overall], devices] = await bundle({ nonce });
    const claims = JSON.parse(Buffer.from(overall.split('.')[1] ?? '', 'base64url').toString()) as object;
    const unsigned = new UnsecuredJWT({ ...claims }).encode();
    const shared = await new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'HS256', kid: 'es' })
      .sign(new TextEncoder().encode(JSON.stringify(es.jwk)));
    for (const text of [unsigned, shared, '', '..', `${overall}x`, 'x'.repeat(16_384)])
      await refused([['JWT', text], devices]);
    const edwards = await makeKey('ed', 'EdDSA');
    served = { keys: [es.jwk, edwards.jwk] };
    expect(
      await refused(await bundle({ nonce, key: edwards })),
      'a key of the service, an algorithm that is not',
    ).toContain('"alg"');
    await verifier.verify(node, [['JWT', overall], devices]);
  });

  test('a device that is no GPU, or that was changed on the way', async () => {
    const { nonce } = verifier.challenge(node);
    const [overall, devices] = await bundle({ nonce });
    const changed = await bundle({ nonce, device: { hwmodel: 'GB100' } });
    expect(await refused([overall, changed[1]])).toContain('GPU-0');
    expect(await refused([overall, {}])).toContain('devices');
    expect(await refused([overall, { ...devices, 'GPU-1': devices['GPU-0'] ?? '' }])).toContain('devices');
    const text = devices['GPU-0'] ?? '';
    const submods = { 'SWITCH-0': ['DIGEST', ['SHA-256', createHash('sha256').update(text).digest('hex')]] };
    const renamed = await bundle({ nonce, overall: { submods } });
    expect(await refused([renamed[0], { 'SWITCH-0': text }])).toContain('no GPU');
  });

  test('another audience, where the admin asks for one', async () => {
    verifier = createNvidiaVerifier({ jwksUrl: url, issuer: ISSUER, audience: 'us', fetchText, clock });
    const { nonce } = verifier.challenge(node);
    expect(await refused(await bundle({ nonce }))).toContain('aud');
    const aud = { aud: 'us' };
    await verifier.verify(node, await bundle({ nonce, overall: aud, device: aud }));
  });
});

describe('the keys of the service', () => {
  const attest = async (key: Key = es): Promise<unknown> =>
    verifier.verify(node, await bundle({ nonce: verifier.challenge(node).nonce, key }));

  test('are read once an hour, and a new key id makes them be read again at most once a minute', async () => {
    await attest();
    await attest(rs);
    expect(reads).toBe(1);
    clock.advance(3_500_000);
    await attest();
    expect(reads, 'within the hour').toBe(1);
    clock.advance(100_001);
    await attest();
    expect(reads).toBe(2);
    reads = 1;
    await expect(attest(stranger)).rejects.toThrow('claim_refused');
    expect(reads, 'within the minute').toBe(1);
    clock.advance(60_001);
    served = { keys: [es.jwk, stranger.jwk] };
    await attest(stranger);
    expect(reads).toBe(2);
    await expect(attest(rs)).rejects.toThrow('claim_refused');
    expect(reads).toBe(2);
    clock.advance(3_600_001);
    await attest();
    expect(reads).toBe(3);
  });

  test('that cannot be read are a fault of the platform, not of the token; known ones serve on for a day', async () => {
    for (const bad of [
      '',
      'not json',
      '{"keys":[]}',
      '{"keys":[{"kty":"oct","k":"AA","kid":"es"}]}',
      'x'.repeat(300_000),
    ]) {
      answer = () => bad;
      verifier = createNvidiaVerifier({ jwksUrl: url, issuer: ISSUER, audience: undefined, fetchText, clock });
      await expect(attest(), bad.slice(0, 20)).rejects.toMatchObject({ code: 'platform.attestation_unavailable' });
    }
    answer = undefined;
    served = { keys: [{ kty: 'new', kid: 'later' }, ...served.keys] };
    await attest();
    answer = () => 'gone';
    clock.advance(2 * 3_600_000);
    await attest();
    clock.advance(24 * 3_600_000);
    await expect(attest()).rejects.toMatchObject({ code: 'platform.attestation_unavailable' });
  });

  test.each(['http://192.0.2.1/jwks', 'http://example.com/jwks', 'file:///etc/passwd', 'nonsense'])(
    'are not fetched from %s',
    async (address) => {
      await expect(fetchText(address)).rejects.toThrow('only https');
    },
  );
});
