import { existsSync, rmSync } from 'node:fs';
import { readFileIfPresent, writeFileDurably } from '@subcloud/kit/files';
import { type SigningKey, exportSigningKey, generateSigningKey, importSigningKey } from '@subcloud/kit/signing';
import { CliError } from './cli-error.ts';

/** Makes a key in a 0600 file that must not be there yet. `discard` removes it again. Throws CliError. */
export function newKeyFile(path: string): SigningKey & { discard(): void } {
  if (existsSync(path))
    throw new CliError({
      code: 'client.file_exists',
      message: `${path} is there already.`,
      next: 'Name another file with --key-file; a key is never overwritten.',
    });
  const key = generateSigningKey();
  writeFileDurably(path, exportSigningKey(key));
  return { ...key, discard: () => rmSync(path, { force: true }) };
}

/** Throws CliError where there is no key in the file. */
export function readKeyFile(path: string): SigningKey {
  const refuse = (message: string, cause?: unknown): never => {
    throw new CliError({
      code: 'client.invalid_key_file',
      message,
      next: 'Give the file that `subcloud attester create` made with --key.',
      cause,
    });
  };
  const pem = readFileIfPresent(path);
  if (pem === undefined) return refuse(`There is no file ${path}.`);
  try {
    return importSigningKey(pem);
  } catch (error) {
    return refuse(`${path} holds no Ed25519 key.`, error);
  }
}
