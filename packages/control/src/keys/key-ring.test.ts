import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { NODE_DOCUMENT_VALID_MS, SIGNING_KEY_VALID_MS, type TrustChain } from '@subcloud/contract/documents';
import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import {
  certifySigningKey,
  fingerprintOf,
  generateSigningKey,
  importSigningKey,
  openChain,
} from '@subcloud/kit/signing';
import { virtualClock } from '@subcloud/testkit/virtual-clock';
import { type KeyRing, openKeyRing } from './key-ring.ts';

const folders: string[] = [];
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })));

function setUp() {
  const folder = mkdtempSync(join(tmpdir(), 'keys-'));
  folders.push(folder);
  const clock = virtualClock();
  const open = (): KeyRing => openKeyRing({ folder, networkId: 'net_a', clock });
  const file = (name: string): string => join(folder, name);
  /** The keys that an agent of this network believes at this moment. */
  const believed = (ring: KeyRing): string[] => {
    const chain: TrustChain = {
      networkId: 'net_a',
      networkKey: ring.networkKey,
      signingKeys: [...ring.certificates()],
    };
    return openChain(chain, fingerprintOf(ring.networkKey), clock.nowMs()).map(({ publicKey }) => publicKey);
  };
  return { clock, open, file, believed, away: () => rmSync(file('network.pem')) };
}

test('the next key is believed before it signs, and the old one until all that it signed has expired, over restarts', () => {
  const { clock, open, believed } = setUp();
  const old = open().active().publicKey;
  const next = open().rotate()?.publicKey ?? '';
  let ring = open();
  expect(ring.active().publicKey).toBe(old);
  expect(believed(ring)).toEqual([old, next]);
  clock.advance(2 * TABLE_LEASE_MS - 1);
  ring.advance();
  expect(ring.active().publicKey).toBe(old);
  clock.advance(1);
  expect(ring.advance()).toBe(true);
  ring = open();
  expect(ring.active().publicKey).toBe(next);
  expect(believed(ring)).toEqual([next, old]);
  clock.advance(NODE_DOCUMENT_VALID_MS);
  ring.advance();
  expect(believed(ring)).toContain(old);
  clock.advance(3_600_000);
  ring.advance();
  expect(believed(open())).toEqual([next]);
});

test('a certificate is renewed at half its life where the network key is, and holds to its end where it is not', () => {
  const { clock, open, believed, away } = setUp();
  const ring = open();
  const first = ring.activeCertificate();
  clock.advance(SIGNING_KEY_VALID_MS / 2);
  expect(ring.advance()).toBe(true);
  expect(ring.activeCertificate()).not.toEqual(first);
  away();
  const offline = open();
  expect(offline.networkKeyHere).toBe(false);
  expect(offline.networkKey).toBe(ring.networkKey);
  clock.advance(SIGNING_KEY_VALID_MS - 1);
  expect(offline.advance()).toBe(false);
  expect(believed(offline)).toHaveLength(1);
  clock.advance(1);
  expect(() => believed(offline)).toThrow(/expired/);
});

test('with the network key away, what it signed elsewhere is taken, and nothing else', () => {
  const { clock, open, file, believed, away } = setUp();
  const networkKey = importSigningKey((open(), readFileSync(file('network.pem'), 'utf8')));
  away();
  const ring = open();
  const next = ring.rotate()?.publicKey ?? '';
  clock.advance(10 * TABLE_LEASE_MS);
  ring.advance();
  expect(ring.active().publicKey).not.toBe(next);
  const certify = (by: typeof networkKey, networkId: string, publicKey: string) =>
    certifySigningKey(by, { networkId, publicKey }, clock.nowMs());
  expect(() => ring.install(certify(generateSigningKey(), 'net_a', next))).toThrow(/another signer/);
  expect(ring.install(certify(networkKey, 'net_b', next))).toBe(false);
  expect(ring.install(certify(networkKey, 'net_a', generateSigningKey().publicKey))).toBe(false);
  expect(believed(ring)).not.toContain(next);
  expect(ring.install(certify(networkKey, 'net_a', next))).toBe(true);
  expect(believed(ring)).toContain(next);
  clock.advance(2 * TABLE_LEASE_MS);
  ring.advance();
  expect(ring.active().publicKey).toBe(next);
});

test('a crash in the middle of the change of keys leaves one key, with its certificate', () => {
  const { clock, open, file, believed } = setUp();
  const ring = open();
  const next = ring.rotate()?.publicKey ?? '';
  // The new key stands under the old name; its certificate, and the next key, are where they were.
  writeFileSync(file('signing.pem'), readFileSync(file('signing-next.pem')));
  const after = open();
  expect(after.active().publicKey).toBe(next);
  expect(believed(after)).toContain(next);
  expect(after.status().filter(({ state }) => state === 'next')).toEqual([]);
  clock.advance(1);
  expect(after.rotate()).toBeDefined();
  expect(believed(open())).toContain(next);
});

test('another network key than the one known is an error, and a lost one is never made anew', () => {
  const { open, file, away } = setUp();
  const { networkKey } = open();
  away();
  expect(open().networkKey).toBe(networkKey);
  const other = mkdtempSync(join(tmpdir(), 'keys-'));
  folders.push(other);
  openKeyRing({ folder: other, networkId: 'net_a', clock: virtualClock() });
  writeFileSync(file('network.pem'), readFileSync(join(other, 'network.pem')));
  expect(open).toThrow(/another key/);
});
