/** Address ranges as manifests write them: `10.0.0.0/8`, `2001:db8::/32`. */
import * as z from 'zod';

const either = z.union([z.cidrv4(), z.cidrv6()]);

/** A range whose address has bits beyond its prefix is a mistake as often as not, so it is one. */
export const cidrText = z
  .string()
  .max(64)
  .refine((text) => either.safeParse(text).success, 'must be an address range, for example 10.0.0.0/8')
  .refine((text) => !either.safeParse(text).success || !hasHostBits(text), {
    error: 'has bits set beyond its prefix: write the first address of the range',
  });

function hasHostBits(text: string): boolean {
  const [address = '', prefix = ''] = text.split('/');
  const bits = bitsOf(address);
  return bits.slice(Number(prefix)).includes('1');
}

/** The address as a string of 32 or 128 binary digits; the address is well-formed. */
export function bitsOf(address: string): string {
  if (!address.includes(':')) return octets(address);
  const [head = '', tail] = address.split('::');
  const left = groups(head);
  const right = tail === undefined ? '' : groups(tail);
  return left + '0'.repeat(128 - left.length - right.length) + right;
}

function groups(text: string): string {
  if (text === '') return '';
  return text
    .split(':')
    .map((group) => (group.includes('.') ? octets(group) : Number.parseInt(group, 16).toString(2).padStart(16, '0')))
    .join('');
}

function octets(text: string): string {
  return text
    .split('.')
    .map((octet) => Number(octet).toString(2).padStart(8, '0'))
    .join('');
}
