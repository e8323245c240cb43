import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

export interface Address {
  readonly kind: 'ipv4' | 'ipv6';
  /** 4 or 16. */
  readonly bytes: readonly number[];
  readonly text: string;
  /** Whether it is one that the public internet routes to one place: no private, reserved, tunnelled or multicast one. */
  readonly isPublic: boolean;
}

export interface AddressRange {
  readonly kind: 'ipv4' | 'ipv6';
  /** Of the network; what lies beyond the prefix is zero. */
  readonly bytes: readonly number[];
  readonly prefixBits: number;
}

/** An address as sockets report it: a zone is dropped, and IPv4 mapped into IPv6 becomes IPv4. Undefined: it is none. */
export function parseAddress(text: string): Address | undefined {
  // The parser below also takes 010.1 for 8.0.0.1, as old C libraries do.
  if (isIP(text) === 0) return undefined;
  const address = ipaddr.process(text.split('%')[0] ?? '');
  const isMapped = text.includes(':') && address.kind() === 'ipv4';
  // It takes the long abandoned ::8.8.8.8 for a mapped address too.
  if (isMapped && !/ffff/i.test(text)) return undefined;
  const bytes = address.toByteArray();
  const isAllocated = address.kind() === 'ipv4' || ((bytes[0] ?? 0) & 0xe0) === 0x20;
  return {
    kind: address.kind(),
    bytes,
    text: address.toString(),
    isPublic: isAllocated && address.range() === 'unicast',
  };
}

/** A range in CIDR notation, or a sentence that says what is wrong with it. */
export function parseRange(cidr: string): AddressRange | string {
  const parts = /^([^/%\s]{1,64})\/(\d{1,3})$/.exec(cidr);
  if (parts === null) return isIP(cidr) === 0 ? 'is no range like 10.0.0.0/8 or 2001:db8::/32' : 'lacks its /prefix';
  const [, start = '', bits = ''] = parts;
  const address = parseAddress(start);
  if (address === undefined) return 'has no valid address';
  const mappedBits = start.includes(':') && address.kind === 'ipv4' ? 96 : 0;
  const prefixBits = Number(bits) - mappedBits;
  const maxBits = address.bytes.length * 8;
  if (prefixBits < 0) return 'covers more than the IPv4 addresses that are mapped into IPv6: write the IPv4 range';
  if (prefixBits > maxBits) return `has a prefix longer than ${maxBits + mappedBits}`;
  const bytes = networkBytes(address.bytes, prefixBits);
  if (bytes.some((byte, index) => byte !== address.bytes[index])) {
    return `does not start its range: did you mean ${ipaddr.fromByteArray([...bytes]).toString()}/${prefixBits}?`;
  }
  return { kind: address.kind, bytes, prefixBits };
}

/** The bytes with everything beyond the prefix zero. */
export function networkBytes(bytes: readonly number[], prefixBits: number): readonly number[] {
  return bytes.map((byte, index) => {
    const bits = Math.min(8, Math.max(0, prefixBits - index * 8));
    return byte & (0xff << (8 - bits)) & 0xff;
  });
}
