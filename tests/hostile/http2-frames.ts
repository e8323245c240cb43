/**
 * HTTP/2 by hand (RFC 9113), for peers that break its rules: frames with any content, headers without compression
 * state, and a reader of what the other side sends. Nothing here checks anything.
 */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
  altsvc: 10,
  origin: 12,
} as const;
export const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8 } as const;
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const HEAD_BYTES = 9;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function frame(type: number, flags: number, stream: number, payload: Buffer | string = ''): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUIntBE(body.byteLength, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([head, body]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export function settings(entries: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(entries.length * 6);
  entries.forEach(([id, value], index) => {
    payload.writeUInt16BE(id, index * 6);
    payload.writeUInt32BE(value >>> 0, index * 6 + 2);
  });
  return frame(FRAME.settings, 0, 0, payload);
}

/** Literal fields without indexing (RFC 7541, 6.2.2). */
export function headerBlock(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  const parts = fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]);
  return Buffer.concat(parts);
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const length: number[] = [];
  let rest = bytes.byteLength;
  if (rest < 127) length.push(rest);
  else {
    length.push(127);
    rest -= 127;
    while (rest >= 128) {
      length.push((rest % 128) + 128);
      rest = Math.floor(rest / 128);
    }
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

/** Frames out of a byte stream, the preface left out where there is one. */
export class FrameReader {
  #bytes: Buffer = Buffer.alloc(0);
  #prefaced: boolean;

  constructor(options: { readonly preface: boolean }) {
    this.#prefaced = !options.preface;
  }

  push(chunk: Buffer): Frame[] {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (!this.#prefaced) {
      if (this.#bytes.byteLength < PREFACE.byteLength) return [];
      this.#bytes = this.#bytes.subarray(PREFACE.byteLength);
      this.#prefaced = true;
    }
    const frames: Frame[] = [];
    while (this.#bytes.byteLength >= HEAD_BYTES) {
      const length = this.#bytes.readUIntBE(0, 3);
      if (this.#bytes.byteLength < HEAD_BYTES + length) break;
      frames.push({
        type: this.#bytes[3] ?? 0,
        flags: this.#bytes[4] ?? 0,
        stream: this.#bytes.readUInt32BE(5) & 0x7fffffff,
        payload: this.#bytes.subarray(HEAD_BYTES, HEAD_BYTES + length),
      });
      this.#bytes = this.#bytes.subarray(HEAD_BYTES + length);
    }
    return frames;
  }
}
