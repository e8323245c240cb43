import { Socket } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Origin, clientAddress, setOrigin } from './client-address.ts';
import { canonicalAddress, trustedProxies } from './trusted-proxies.ts';

const PROXIES = trustedProxies('10.0.0.0/8,fd00::/8');
/** Anything that may stand in a header, above all what looks like an address. */
const junk = fc.oneof(
  fc.string({ maxLength: 30 }),
  fc.ipV4(),
  fc.ipV6(),
  fc.constantFrom('10.1.1.1', 'unknown', '127.0.0.1', '"[::1]"', '', ','),
);
const outside = fc
  .oneof(fc.ipV4(), fc.ipV6())
  .map((text) => canonicalAddress(text) ?? '')
  .filter((text) => !PROXIES.has(text));
const proxy = fc.oneof(
  fc.integer({ min: 0, max: 255 }).map((last) => `10.2.3.${last}`),
  fc.integer({ min: 1, max: 255 }).map((last) => `fd00::${last.toString(16)}`),
);

function addressOf(origin: Omit<Origin, 'proxies'>, forwardedFor: string | undefined): string {
  const socket = new Socket();
  setOrigin(socket, { ...origin, proxies: PROXIES });
  return clientAddress({ socket, headers: forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor } });
}

test('what a caller writes of its own address never counts, through any chain of proxies or none', () => {
  fc.assert(
    fc.property(
      fc.array(junk, { maxLength: 4 }),
      outside,
      fc.array(proxy, { maxLength: 3 }),
      (written, client, chain) => {
        // Each proxy appends the address that it sees; the last one is the socket's other end.
        const hops = [...written, client, ...chain.slice(0, -1)].join(', ');
        const last = chain.at(-1);
        const seen =
          last === undefined
            ? addressOf({ address: client, said: false }, written.join(', '))
            : addressOf({ address: last, said: false }, hops);
        expect(seen).toBe(client);
        // The same with the client's address from a PROXY header.
        expect(addressOf({ address: client, said: true }, written.join(', '))).toBe(client);
      },
    ),
  );
});

test('a proxy that says nothing, or nothing sound, leaves the address unknown', () => {
  const unsound = [
    undefined,
    '',
    ' ',
    'unknown',
    '_hidden',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.4, ',
    '::g',
    '[::1',
    '1.2.3.4:x',
  ];
  for (const header of unsound) {
    expect(() => addressOf({ address: '10.0.0.1', said: false }, header)).toThrow(/does not say whose request/);
  }
  const endless = Array.from({ length: 40 }, () => '10.0.0.2').join(',');
  expect(() => addressOf({ address: '10.0.0.1', said: false }, endless)).toThrow(/longer/);
  expect(() => addressOf({ address: undefined, said: true }, '1.2.3.4')).toThrow(/names no client/);
});

test.each([
  ['1.2.3.4', '1.2.3.4'],
  ['1.2.3.4:443', '1.2.3.4'],
  ['[2001:DB8::1]:443', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['2001:db8:0:0::1', '2001:db8::1'],
  ['::ffff:1.2.3.4', '1.2.3.4'],
  ['9.9.9.9, 1.2.3.4, 10.0.0.9', '1.2.3.4'],
  ['10.0.0.7', '10.0.0.7'],
])('%s from a proxy is %s', (header, expected) =>
  expect(addressOf({ address: '10.0.0.1', said: false }, header)).toBe(expected),
);

test.each([['0.0.0.0/0'], ['::/0'], ['10.0.0.0'], ['10.0.0.0/33'], ['proxy/8'], ['10.0.0.0/8,'], ['']])(
  '%j is refused as a list of proxies',
  (text) => expect(() => trustedProxies(text)).toThrow(),
);
