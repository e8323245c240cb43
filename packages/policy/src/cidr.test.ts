import { BlockList } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bitsOf, cidrText } from './cidr.ts';

const fault = (text: string): string | undefined => cidrText.safeParse(text).error?.issues[0]?.message;

test.each(['0.0.0.0/0', '10.0.0.0/8', '192.0.2.7/32', '::/0', '2001:db8::/32', '::ffff:192.0.2.0/120', 'fe80::1/128'])(
  '%s is a range',
  (text) => expect(fault(text)).toBeUndefined(),
);

test.each(['10.0.0.0', '10.0.0.0/33', '10.0.0/8', '010.0.0.0/8', '2001:db8::/129', 'fe80::%eth0/64', '/8', '', 'any'])(
  '%j is none',
  (text) => expect(fault(text)).toContain('must be an address range'),
);

test.each(['10.0.0.1/8', '192.0.2.255/31', '2001:db8::1/64', '1.0.0.0/0'])('%s has bits beyond its prefix', (text) =>
  expect(fault(text)).toContain('beyond its prefix'),
);

test('the bits of an address are those that the system reads', () => {
  const address = fc.oneof(
    fc.ipV4().map((text) => [text, 'ipv4', 32] as const),
    fc.ipV6().map((text) => [text, 'ipv6', 128] as const),
  );
  fc.assert(
    fc.property(address, fc.nat(128), ([text, family, length], cut) => {
      const prefix = Math.min(cut, length);
      const bits = bitsOf(text);
      expect(bits).toHaveLength(length);
      const first = bits.slice(0, prefix).padEnd(length, '0');
      const hex = family === 'ipv4' ? octets(first) : groups(first);
      const list = new BlockList();
      list.addSubnet(hex, prefix, family);
      expect(list.check(text, family)).toBe(true);
      expect(cidrText.safeParse(`${hex}/${prefix}`).success).toBe(true);
    }),
  );
});

function octets(bits: string): string {
  return [0, 8, 16, 24].map((at) => Number.parseInt(bits.slice(at, at + 8), 2)).join('.');
}
function groups(bits: string): string {
  return Array.from({ length: 8 }, (_, at) => Number.parseInt(bits.slice(at * 16, at * 16 + 16), 2).toString(16)).join(
    ':',
  );
}
