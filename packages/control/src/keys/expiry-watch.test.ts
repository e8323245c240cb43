import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SIGNING_KEY_VALID_MS } from '@subcloud/contract/documents';
import { silentLog } from '@subcloud/kit/log';
import { certifySigningKey, importSigningKey } from '@subcloud/kit/signing';
import { virtualClock } from '@subcloud/testkit/virtual-clock';
import { expect, test } from 'vitest';
import { EXPIRY_NEAR_MS, watchKeyExpiry } from './expiry-watch.ts';
import { openKeyRing } from './key-ring.ts';

const HOUR_MS = 3_600_000;

test('with the network key offline the end is announced daily, in the last day and after it hourly, and not once a new certificate is there', () => {
  const folder = mkdtempSync(join(tmpdir(), 'keys-'));
  try {
    const clock = virtualClock();
    openKeyRing({ folder, networkId: 'net_a', clock });
    const networkKey = importSigningKey(readFileSync(join(folder, 'network.pem'), 'utf8'));
    rmSync(join(folder, 'network.pem'));
    const ring = openKeyRing({ folder, networkId: 'net_a', clock });
    const said: string[] = [];
    const keep = (level: string) => (_: unknown, text: string) => void said.push(`${level} ${text}`);
    const log = Object.assign(Object.create(silentLog) as typeof silentLog, {
      warn: keep('warn'),
      error: keep('error'),
    });
    watchKeyExpiry({ ring, clock, log });
    clock.advance(SIGNING_KEY_VALID_MS - EXPIRY_NEAR_MS - HOUR_MS);
    expect(said).toEqual([]);
    clock.advance(2 * HOUR_MS);
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(
      /^warn the certificate of the active signing key ends soon; the network key is offline: sign one/,
    );
    clock.advance(24 * HOUR_MS);
    expect(said).toHaveLength(2);
    clock.advance(5 * 24 * HOUR_MS);
    said.length = 0;
    clock.advance(12 * HOUR_MS);
    expect(said).toHaveLength(12);
    clock.advance(12 * HOUR_MS);
    expect(said.at(-1)).toMatch(/^error the certificate of the active signing key has ended/);
    said.length = 0;
    const { publicKey } = ring.active();
    ring.install(certifySigningKey(networkKey, { networkId: 'net_a', publicKey }, clock.nowMs()));
    clock.advance(24 * HOUR_MS);
    expect(said).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
