/**
 * Where `subcloud login` leaves its account keys: one file of mode 0600, one entry a network. A key goes to the address that
 * it was made for and to no other.
 */
import { chmodSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readFileIfPresent, writeFileDurably } from '@subcloud/kit/files';
import * as z from 'zod';
import { CliError } from './cli-error.ts';

const login = z.object({
  /** Origin of the network. */
  url: z.string(),
  networkId: z.string(),
  principal: z.string(),
  credentialId: z.string(),
  credential: z.string(),
  trustedKeySha256: z.string().nullable(),
});
export type Login = z.infer<typeof login>;
const loginsFile = z.object({ version: z.literal(1), current: z.string().nullable(), logins: z.array(login) });
type LoginsFile = z.infer<typeof loginsFile>;
type Env = Readonly<Record<string, string | undefined>>;

/** Undefined where the environment names no home. */
export function loginsPath(env: Env): string | undefined {
  const config = env['SUBCLOUD_CONFIG'] ?? env['XDG_CONFIG_HOME'];
  if (config !== undefined && config !== '') return join(config, 'subcloud', 'credentials.json');
  const home = env['HOME'];
  return home === undefined || home === '' ? undefined : join(home, '.config', 'subcloud', 'credentials.json');
}

/** Of the network at this address; without one, of the network that was signed in to last. A file that is none is as no file. */
export function findLogin(env: Env, url: string | undefined): Login | undefined {
  const { current, logins } = read(env);
  const wanted = url === undefined ? current : originOf(url);
  return logins.find((each) => each.url === wanted);
}

/** Throws CliError where there is no home to keep it in. */
export function keepLogin(env: Env, kept: Login): string {
  const path = loginsPath(env);
  if (path === undefined)
    throw new CliError({
      code: 'config.no_home',
      message: 'There is no home folder to keep the sign-in in.',
      next: 'Set HOME, or SUBCLOUD_CONFIG to a folder.',
    });
  const entry = { ...kept, url: originOf(kept.url) };
  const others = read(env).logins.filter(({ url }) => url !== entry.url);
  write(path, { version: 1, current: entry.url, logins: [...others, entry] });
  return path;
}

export function forgetLogin(env: Env, url: string): void {
  const path = loginsPath(env);
  const { current, logins } = read(env);
  const origin = originOf(url);
  const left = logins.filter((each) => each.url !== origin);
  if (path === undefined || left.length === logins.length) return;
  write(path, { version: 1, current: current === origin ? (left.at(-1)?.url ?? null) : current, logins: left });
}

function read(env: Env): LoginsFile {
  const path = loginsPath(env);
  const none: LoginsFile = { version: 1, current: null, logins: [] };
  try {
    const text = path === undefined ? undefined : readFileIfPresent(path);
    return text === undefined ? none : (loginsFile.safeParse(JSON.parse(text)).data ?? none);
  } catch {
    return none;
  }
}

function write(path: string, content: LoginsFile): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileDurably(path, `${JSON.stringify(content, null, 2)}\n`);
  chmodSync(path, 0o600);
}

function originOf(url: string): string {
  return URL.parse(url)?.origin ?? url;
}
