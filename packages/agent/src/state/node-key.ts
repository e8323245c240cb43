/**
 * The node's Ed25519 key: made once, before the network hears of it, so that a crash in the middle of enrolment leaves a
 * machine that enrols again as the same node.
 */
import { join } from 'node:path';
import { readFileIfPresent, writeFileDurably } from '@subcloud/kit/files';
import { type SigningKey, exportSigningKey, generateSigningKey, importSigningKey } from '@subcloud/kit/signing';

/** Reads the key, or makes it and stores it durably with mode 0600. Throws on I/O errors and on a broken file. */
export function loadNodeKey(dataDir: string): SigningKey {
  const path = join(dataDir, 'node.pem');
  const pem = readFileIfPresent(path);
  if (pem !== undefined) return importSigningKey(pem);
  const key = generateSigningKey();
  writeFileDurably(path, exportSigningKey(key));
  return key;
}
