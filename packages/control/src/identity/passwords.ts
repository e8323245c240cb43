/**
 * Passwords as argon2id (RFC 9106) by Node's own OpenSSL, 19 MiB and two passes, which OWASP's password storage sheet
 * names as the least for it. A hash costs memory and time, so only a few run at once and few more wait.
 */
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { AppError } from '@subcloud/contract/errors';

const MEMORY_KIB = 19_456;
const PASSES = 2;
const LANES = 1;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
const MAX_AT_ONCE = 2;
const MAX_WAITING = 32;

interface Cost {
  readonly memoryKiB: number;
  readonly passes: number;
  readonly lanes: number;
}
const COST: Cost = { memoryKiB: MEMORY_KIB, passes: PASSES, lanes: LANES };
const STORED = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;

/** Of no password, since nobody finds one to 256 random bits: what is compared with where there is no account, so that it takes as long. */
const NOBODYS = `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=${LANES}$${base64(randomBytes(SALT_BYTES))}$${base64(randomBytes(HASH_BYTES))}`;

/** The password as it is stored, in the form that other programs of argon2 read. Throws client.too_many_attempts. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, salt, COST);
  return `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=${LANES}$${base64(salt)}$${base64(hash)}`;
}

/** Whether it is that password; null (no account, or none with a password) takes as long and is false. Throws client.too_many_attempts. */
export async function isPassword(password: string, stored: string | null): Promise<boolean> {
  const match = STORED.exec(stored ?? NOBODYS);
  if (match === null) return false;
  const [, memory = '', passes = '', lanes = '', salt = '', wanted = ''] = match;
  const cost = { memoryKiB: Number(memory), passes: Number(passes), lanes: Number(lanes) };
  const hash = await derive(password, Buffer.from(salt, 'base64'), cost);
  const known = Buffer.from(wanted, 'base64');
  return hash.length === known.length && timingSafeEqual(hash, known) && stored !== null;
}

let running = 0;
const waiting: (() => void)[] = [];

async function derive(password: string, salt: Buffer, cost: Cost): Promise<Buffer> {
  if (running >= MAX_AT_ONCE) {
    if (waiting.length >= MAX_WAITING) throw new AppError('client.too_many_attempts', { retryAfterS: 5 });
    await new Promise<void>((resolve) => waiting.push(resolve));
  } else running += 1;
  try {
    return await new Promise((resolve, reject) => {
      const parameters = {
        // Two ways to type one character are one password.
        message: Buffer.from(password.normalize('NFKC'), 'utf8'),
        nonce: salt,
        parallelism: cost.lanes,
        tagLength: HASH_BYTES,
        memory: cost.memoryKiB,
        passes: cost.passes,
      };
      argon2('argon2id', parameters, (error, hash) => (error === null ? resolve(Buffer.from(hash)) : reject(error)));
    });
  } finally {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}
