/**
 * A rotation of the signing key that is begun in the files of a backup, before control opens them (key-ring.ts): the next
 * start announces the new key and goes on as with every rotation. It needs no network key: where that is away the new key
 * waits for its certificate.
 *
 * What stood beside the active key is dropped: nothing that a retired key signed is handed out by a restored network, and a
 * next key of that time may be one that was in use later, and then lost.
 */
import { exportSigningKey, generateSigningKey } from '@subcloud/kit/signing';

interface KeyFile {
  /** Below the data folder. */
  readonly file: string;
  readonly text: string;
}

const BESIDE_THE_ACTIVE = new Set(
  ['signing-next.pem', 'signing-next-certificate.json', 'signing-ring.json'].map((name) => `keys/${name}`),
);

export function withNextKey(files: readonly KeyFile[]): readonly KeyFile[] {
  const next = { file: 'keys/signing-next.pem', text: exportSigningKey(generateSigningKey()) };
  return [...files.filter(({ file }) => !BESIDE_THE_ACTIVE.has(file)), next];
}
