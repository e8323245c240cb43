/**
 * Ids of events as readers see them: the place in the log, encrypted, so that nobody counts what happens that is not
 * theirs to see. The same event has the same id for everybody and for ever; a mere place (where a stream has come to) has
 * another one each time it is written, so that it does not even tell whether something else has happened.
 *
 * One AES block is a permutation of 16 bytes: no two places have one id, and an id that nobody was given decrypts to
 * noise, which the fixed first bytes give away.
 */
import { createCipheriv, createDecipheriv, createHmac, randomInt } from 'node:crypto';

const MAGIC = 0x5ec1;
const SALTS = 2 ** 31;

export interface EventCursors {
  /** Of the event at this place. */
  readonly idOf: (position: number) => string;
  /** Of the place alone: everything up to it has been sent. */
  readonly placeOf: (position: number) => string;
  /** Undefined for what this network has not written; `foreign` for a place in the log before a restore. */
  readonly parse: (text: string) => number | 'foreign' | undefined;
}

/** `secret` is what only control knows, the same in all its replicas; `epoch` is another after each restore. */
export function eventCursors(secret: string, epoch: number): EventCursors {
  const key = createHmac('sha256', secret).update('subcloud/v1/event-cursor').digest().subarray(0, 16);
  const write = (position: number, salt: number): string => {
    const block = Buffer.alloc(16);
    block.writeUInt16BE(MAGIC, 0);
    block.writeUInt32BE(epoch, 2);
    block.writeUIntBE(position, 6, 6);
    block.writeUInt32BE(salt, 12);
    const cipher = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false);
    return Buffer.concat([cipher.update(block), cipher.final()]).toString('base64url');
  };
  return {
    idOf: (position) => write(position, 0),
    placeOf: (position) => write(position, 1 + randomInt(SALTS)),
    parse(text) {
      if (!/^[\w-]{22}$/.test(text)) return undefined;
      const decipher = createDecipheriv('aes-128-ecb', key, null).setAutoPadding(false);
      const block = Buffer.concat([decipher.update(Buffer.from(text, 'base64url')), decipher.final()]);
      if (block.readUInt16BE(0) !== MAGIC) return undefined;
      return block.readUInt32BE(2) === epoch ? block.readUIntBE(6, 6) : 'foreign';
    },
  };
}
