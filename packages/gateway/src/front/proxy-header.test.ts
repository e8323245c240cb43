import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readProxyHeader } from './proxy-header.ts';

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

function binary(command: number, family: number, body: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(body.byteLength);
  return Buffer.concat([SIGNATURE, Buffer.from([command, family]), length, body]);
}

const port = fc.integer({ min: 0, max: 65_535 });
const ipv4 = fc.tuple(...Array.from({ length: 4 }, () => fc.integer({ min: 0, max: 255 })));
const group = fc.integer({ min: 1, max: 65_535 });
const ipv6 = fc.tuple(...Array.from({ length: 8 }, () => group)).filter(([first = 0]) => first > 1);

interface Case {
  readonly bytes: Buffer;
  readonly address: string | undefined;
}
const line4 = fc.tuple(ipv4, ipv4, port, port).map(
  ([from, to, a, b]): Case => ({
    bytes: Buffer.from(`PROXY TCP4 ${from.join('.')} ${to.join('.')} ${a} ${b}\r\n`),
    address: from.join('.'),
  }),
);
const text6 = (groups: readonly number[]): string => groups.map((part) => part.toString(16)).join(':');
const line6 = fc.tuple(ipv6, ipv6, port, port).map(
  ([from, to, a, b]): Case => ({
    bytes: Buffer.from(`PROXY TCP6 ${text6(from).toUpperCase()} ${text6(to)} ${a} ${b}\r\n`),
    address: text6(from),
  }),
);
const extra = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes));
const binary4 = fc.tuple(ipv4, ipv4, extra).map(
  ([from, to, more]): Case => ({
    bytes: binary(0x21, 0x11, Buffer.concat([Buffer.from([...from, ...to, 1, 2, 3, 4]), more])),
    address: from.join('.'),
  }),
);
const binary6 = fc.tuple(ipv6, extra).map(([from, more]): Case => {
  const source = Buffer.alloc(16);
  from.forEach((part, index) => source.writeUInt16BE(part, index * 2));
  return { bytes: binary(0x21, 0x21, Buffer.concat([source, Buffer.alloc(20), more])), address: text6(from) };
});
const nameless = fc.oneof(
  extra.map((more): Case => ({ bytes: binary(0x20, 0x11, more), address: undefined })),
  extra.map((more): Case => ({ bytes: binary(0x21, 0x00, more), address: undefined })),
  fc.constantFrom('PROXY UNKNOWN\r\n', 'PROXY UNKNOWN 9.9.9.9 8.8.8.8 1 2\r\n').map(
    (text): Case => ({
      bytes: Buffer.from(text),
      address: undefined,
    }),
  ),
);
const cases = fc.oneof(line4, line6, binary4, binary6, nameless);

test('every sound header is read whole, wherever it is cut and whatever follows it', () => {
  fc.assert(
    fc.property(cases, fc.uint8Array({ maxLength: 200 }), ({ bytes, address }, rest) => {
      for (let cut = 1; cut < bytes.byteLength; cut++) {
        expect(readProxyHeader(bytes.subarray(0, cut)).kind).toBe('incomplete');
      }
      const whole = { kind: 'header', lengthBytes: bytes.byteLength, address };
      expect(readProxyHeader(Buffer.concat([bytes, rest]))).toEqual(whole);
    }),
  );
});

test('whatever the bytes are, the answer is one of four, within the bytes', () => {
  const mutated = fc.tuple(cases, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([{ bytes }, at, value]) => {
    const copy = Buffer.from(bytes);
    copy[at % copy.byteLength] = value;
    return copy;
  });
  fc.assert(
    fc.property(fc.oneof(mutated, extra), (bytes) => {
      const header = readProxyHeader(bytes);
      if (header.kind === 'header') expect(header.lengthBytes).toBeLessThanOrEqual(bytes.byteLength);
    }),
  );
});

test.each([
  ['PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n'],
  ['PROXY TCP4 1.2.3.4 5.6.7.8 70000 2\r\n'],
  ['PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n'],
  ['PROXY TCP4 ::1 ::2 1 2\r\n'],
  ['PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n'],
  ['PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n'],
  ['PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n'],
  ['PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n'],
  [`PROXY TCP4 ${'1'.repeat(200)}`],
])('%j is malformed', (text) => expect(readProxyHeader(Buffer.from(text)).kind).toBe('malformed'));

test.each([
  ['another version', binary(0x11, 0x11, Buffer.alloc(12))],
  ['another command', binary(0x22, 0x11, Buffer.alloc(12))],
  ['datagrams', binary(0x21, 0x12, Buffer.alloc(12))],
  ['a Unix socket', binary(0x21, 0x31, Buffer.alloc(216))],
  ['addresses cut short', binary(0x21, 0x11, Buffer.alloc(11))],
  ['more than is read', binary(0x21, 0x11, Buffer.alloc(5_000))],
])('%s is malformed', (_name, bytes) => expect(readProxyHeader(bytes).kind).toBe('malformed'));

test('HTTP and TLS are no header', () => {
  for (const text of ['POST / HTTP/1.1', 'PUT /', 'GET', '\x16\x03\x01', '\r\n\r\nGET'])
    expect(readProxyHeader(Buffer.from(text)).kind).toBe('none');
});
