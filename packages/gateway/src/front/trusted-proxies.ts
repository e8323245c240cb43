/** The addresses whose word on somebody else's address is believed: `--behind-proxy`. */
import { BlockList, isIP } from 'node:net';

export interface TrustedProxies {
  /** `address` in canonical form. */
  has(address: string): boolean;
}

export const MAX_PROXY_RANGES = 64;

/** `10.0.0.0/8,2001:db8::/32` as ranges. Throws with a readable sentence. */
export function trustedProxies(text: string): TrustedProxies {
  const ranges = text.split(',').map((part) => part.trim());
  if (ranges.length > MAX_PROXY_RANGES) throw new Error(`at most ${MAX_PROXY_RANGES} ranges`);
  const list = new BlockList();
  for (const range of ranges) {
    const [, start = '', bits = ''] = /^([0-9a-fA-F.:]{2,45})\/(\d{1,3})$/.exec(range) ?? [];
    const family = isIP(start);
    const prefixBits = Number(bits);
    if (family === 0 || prefixBits > (family === 4 ? 32 : 128)) {
      throw new Error(`${JSON.stringify(range)} is no range like 10.0.0.0/8 or 2001:db8::/32`);
    }
    if (prefixBits === 0) throw new Error(`${range} would believe everybody: name the addresses of the proxy`);
    list.addSubnet(start, prefixBits, family === 4 ? 'ipv4' : 'ipv6');
  }
  return { has: (address) => list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4') };
}

/**
 * One text for each address, as sockets report IPv4: without zone, IPv4 mapped into IPv6 as IPv4, IPv6 compressed in
 * lower case. Undefined where it is no address.
 */
export function canonicalAddress(text: string): string | undefined {
  const [address = ''] = text.split('%', 1);
  const family = isIP(address);
  if (family === 4) return address;
  if (family !== 6) return undefined;
  const compressed = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(compressed);
  if (mapped === null) return compressed;
  const [high, low] = [Number.parseInt(mapped[1] ?? '', 16), Number.parseInt(mapped[2] ?? '', 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}
