/**
 * The PROXY protocol (haproxy.org/download/3.0/doc/proxy-protocol.txt), versions 1 and 2: what a proxy that passes bytes
 * through says of the connection, before the first of them. Strict: whatever is not exactly of its form is malformed.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { canonicalAddress } from './trusted-proxies.ts';

export type ProxyHeader =
  /** More bytes are needed to tell. */
  | { readonly kind: 'incomplete' }
  /** The bytes are no PROXY header. */
  | { readonly kind: 'none' }
  | { readonly kind: 'malformed' }
  | {
      readonly kind: 'header';
      readonly lengthBytes: number;
      /** Of the client, canonical; undefined where the proxy speaks for itself or does not know (LOCAL, UNKNOWN). */
      readonly address: string | undefined;
    };

const SIGNATURE = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
const FIRST_WORD = Buffer.from('PROXY ');
const MAX_LINE_BYTES = 107;
const HEAD_BYTES = 16;
/** Addresses and what large balancers add; the format itself would allow 64 KiB. */
const MAX_BODY_BYTES = 4_096;

const INCOMPLETE: ProxyHeader = { kind: 'incomplete' };
const MALFORMED: ProxyHeader = { kind: 'malformed' };

export const MAX_PROXY_HEADER_BYTES = HEAD_BYTES + MAX_BODY_BYTES;

/** `bytes`: all that has come on the connection so far. */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsAlike(bytes, SIGNATURE)) return bytes.byteLength < HEAD_BYTES ? INCOMPLETE : readBinary(bytes);
  if (startsAlike(bytes, FIRST_WORD)) return bytes.byteLength < FIRST_WORD.byteLength ? INCOMPLETE : readLine(bytes);
  return { kind: 'none' };
}

function startsAlike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.byteLength, start.byteLength);
  return bytes.subarray(0, length).equals(start.subarray(0, length));
}

function readLine(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, MAX_LINE_BYTES).indexOf('\r\n');
  if (end === -1) return bytes.byteLength < MAX_LINE_BYTES ? INCOMPLETE : MALFORMED;
  const line = bytes.toString('latin1', 0, end);
  const lengthBytes = end + 2;
  // Whatever follows the word is to be ignored.
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { kind: 'header', lengthBytes, address: undefined };
  const [, family, source = '', destination = '', sourcePort = '', destinationPort = ''] =
    /^PROXY (TCP4|TCP6) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) (\d{1,5}) (\d{1,5})$/.exec(line) ?? [];
  if (family === undefined || ![sourcePort, destinationPort].every(isPort)) return MALFORMED;
  const isOfFamily = family === 'TCP4' ? isIPv4 : isIPv6;
  if (!isOfFamily(source) || !isOfFamily(destination)) return MALFORMED;
  return { kind: 'header', lengthBytes, address: canonicalAddress(source) };
}

function isPort(text: string): boolean {
  return Number(text) <= 65_535 && String(Number(text)) === text;
}

const COMMAND_LOCAL = 0x20;
const COMMAND_PROXY = 0x21;
const FAMILY_UNSPECIFIED = 0x00;
const FAMILY_TCP4 = 0x11;
const FAMILY_TCP6 = 0x21;

function readBinary(bytes: Buffer): ProxyHeader {
  const command = bytes[12];
  const family = bytes[13];
  const bodyBytes = bytes.readUInt16BE(14);
  if (command !== COMMAND_LOCAL && command !== COMMAND_PROXY) return MALFORMED;
  if (bodyBytes > MAX_BODY_BYTES) return MALFORMED;
  const lengthBytes = HEAD_BYTES + bodyBytes;
  if (bytes.byteLength < lengthBytes) return INCOMPLETE;
  if (command === COMMAND_LOCAL || family === FAMILY_UNSPECIFIED)
    return { kind: 'header', lengthBytes, address: undefined };
  const addressBytes = family === FAMILY_TCP4 ? 4 : family === FAMILY_TCP6 ? 16 : undefined;
  if (addressBytes === undefined || bodyBytes < 2 * addressBytes + 4) return MALFORMED;
  const source = bytes.subarray(HEAD_BYTES, HEAD_BYTES + addressBytes);
  return { kind: 'header', lengthBytes, address: canonicalAddress(addressText(source)) };
}

function addressText(bytes: Buffer): string {
  if (bytes.byteLength === 4) return bytes.join('.');
  return Array.from({ length: 8 }, (_, group) => bytes.readUInt16BE(group * 2).toString(16)).join(':');
}
