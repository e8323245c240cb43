import { bitsOf } from '@subcloud/policy/cidr';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addressList } from './address-list.ts';

test('an address is inside a range exactly where its first bits are those of the range', () => {
  const v4 = fc.tuple(fc.ipV4(), fc.ipV4(), fc.integer({ min: 0, max: 32 }));
  const v6 = fc.tuple(fc.ipV6(), fc.ipV6(), fc.integer({ min: 0, max: 128 }));
  fc.assert(
    fc.property(fc.oneof(v4, v6), fc.nat(128), ([address, near, prefix], shared) => {
      // Half of the ranges share bits with the address, or hardly any would hold it.
      const length = address.includes(':') ? 128 : 32;
      const bits = (bitsOf(address).slice(0, Math.min(shared, length)) + bitsOf(near).slice(Math.min(shared, length)))
        .slice(0, prefix)
        .padEnd(length, '0');
      const cidr = `${textOf(bits)}/${prefix}`;
      const inside = bitsOf(address).slice(0, prefix) === bits.slice(0, prefix);
      expect(addressList([cidr]).has(address), cidr).toBe(inside);
      expect(addressList(['192.0.2.1/32', cidr]).has(address)).toBe(inside || address === '192.0.2.1');
      if (length === 32) expect(addressList([cidr]).has(`::ffff:${address}`)).toBe(inside);
    }),
    { numRuns: 1_000 },
  );
});

test('what is no address is inside nothing, not even everything', () => {
  const everything = addressList(['0.0.0.0/0', '::/0']);
  for (const text of [undefined, '', 'unknown', '10.0.0', '10.0.0.1:80', 'fe80::1%eth0', '10.0.0.1/8', ' 10.0.0.1'])
    expect(everything.has(text), String(text)).toBe(false);
});

function textOf(bits: string): string {
  if (bits.length === 32) return [0, 8, 16, 24].map((at) => Number.parseInt(bits.slice(at, at + 8), 2)).join('.');
  const groups = Array.from({ length: 8 }, (_, at) => Number.parseInt(bits.slice(at * 16, at * 16 + 16), 2));
  return groups.map((group) => group.toString(16)).join(':');
}
