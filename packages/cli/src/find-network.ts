/**
 * Which network a command speaks to, and as whom: flags, else the environment, else the network that `subcloud up` runs
 * from the data folder, else the one that was signed in to last; as the account that is signed in there, if one is. A credential that was found locally goes to the local network only.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readFileIfPresent } from '@subcloud/kit/files';
import * as z from 'zod';
import { CliError } from './cli-error.ts';
import { findLogin } from './logins.ts';

export interface NetworkFlags {
  readonly url?: string | undefined;
  readonly token?: string | undefined;
  readonly data?: string | undefined;
  readonly pin?: string | undefined;
}

export interface FoundNetwork {
  readonly url: string;
  /** Of control's API, where it runs alone from the data folder. */
  readonly socketPath: string | undefined;
  readonly credential: string | undefined;
  /** SHA-256, hex, of the TLS key to trust. */
  readonly trustedKeySha256: string | undefined;
  /** Set where the credential was found in the data folder of a local network. */
  readonly local: LocalCredentials | undefined;
}

/** `control`: to manage, as the admin where the network is a local one. `inference`: to call models, with its key. */
export type Purpose = 'control' | 'inference';

export const DEFAULT_DATA_DIR = './.subcloud';

/** Written by a running `subcloud up` into its data folder. */
export const upState = z.object({
  pid: z.int().positive(),
  url: z.url({ protocol: /^https?$/ }),
  tlsKeySha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
  /** Of the PostgreSQL that it runs, on a Unix socket and without a secret; absent where it uses another. */
  databaseUrl: z.string().optional(),
});
export type UpState = z.infer<typeof upState>;

/** Written by control on its first start. */
export const localCredentials = z.object({
  adminToken: z.string().min(1),
  apiKey: z.string().min(1),
  principal: z.string(),
  networkId: z.string().optional(),
});
export type LocalCredentials = z.infer<typeof localCredentials>;

export function stateFile(dataDir: string): string {
  return join(dataDir, 'run', 'state.json');
}

/** Throws CliError where nothing says which network is meant. */
export function findNetwork(
  flags: NetworkFlags,
  env: Readonly<Record<string, string | undefined>>,
  purpose: Purpose,
  { ignoreLogin = false }: { readonly ignoreLogin?: boolean } = {},
): FoundNetwork {
  const dataDir = flags.data ?? given(env, 'SUBCLOUD_DATA') ?? DEFAULT_DATA_DIR;
  const local = readJsonFile(stateFile(dataDir), upState);
  const named = flags.url ?? given(env, 'SUBCLOUD_URL') ?? local?.url;
  if (named === undefined && purpose === 'control') {
    const alone = controlAlone(dataDir, flags.token ?? given(env, 'SUBCLOUD_TOKEN'));
    if (alone !== undefined) return alone;
  }
  const url = named ?? findLogin(env, undefined)?.url;
  if (url === undefined) {
    throw new CliError({
      code: 'client.no_network',
      message: `No network is named, and none was started from ${dataDir}.`,
      next: 'Pass --url (or set SUBCLOUD_URL), sign in with `subcloud login`, or start one here with `subcloud up`.',
    });
  }
  const isLocal = local !== undefined && sameAddress(local.url, url);
  const token = flags.token ?? given(env, 'SUBCLOUD_TOKEN');
  const found = isLocal && token === undefined ? localCredentialsIn(dataDir) : undefined;
  const login = token !== undefined || ignoreLogin ? undefined : findLogin(env, url);
  // A network that was started anew here is another one, at the same address: what was kept for the old one is not sent to it.
  const signedIn = found?.networkId !== undefined && login?.networkId !== found.networkId ? undefined : login;
  const credentials = signedIn === undefined ? found : undefined;
  const pin = flags.pin ?? given(env, 'SUBCLOUD_PIN');
  if (pin !== undefined && !url.startsWith('https:')) {
    throw new CliError({
      code: 'client.invalid_pin',
      message: `A key is pinned, and ${url} has no TLS to check it with.`,
      next: 'Use an https address, or leave the pin out.',
    });
  }
  return {
    url: checkedUrl(url),
    socketPath: undefined,
    credential:
      token ?? signedIn?.credential ?? (purpose === 'control' ? credentials?.adminToken : credentials?.apiKey),
    trustedKeySha256:
      pin === undefined ? ((isLocal ? local.tlsKeySha256 : login?.trustedKeySha256) ?? undefined) : parsePin(pin),
    local: credentials,
  };
}

/** Instead of an address, where control was reached by its socket: no other machine can use it. */
export const CONTROL_BY_SOCKET = 'http://control';

/** Control that runs by `subcloud serve control` from this folder: reached by its socket, since a gateway may not be there yet. */
function controlAlone(dataDir: string, token: string | undefined): FoundNetwork | undefined {
  const socketPath = join(dataDir, 'run', 'api.sock');
  if (!existsSync(socketPath)) return undefined;
  const local = token === undefined ? localCredentialsIn(dataDir) : undefined;
  return {
    url: CONTROL_BY_SOCKET,
    socketPath,
    credential: token ?? local?.adminToken,
    trustedKeySha256: undefined,
    local,
  };
}

/** The content of a JSON file, or undefined where there is none or it has another form. */
export function readJsonFile<Schema extends z.ZodType>(path: string, schema: Schema): z.infer<Schema> | undefined {
  try {
    const text = readFileIfPresent(path);
    return text === undefined ? undefined : schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** `sha256//BASE64`, as curl's --pinnedpubkey takes it. */
export function pinText(keySha256: string): string {
  return `sha256//${Buffer.from(keySha256, 'hex').toString('base64')}`;
}

function parsePin(text: string): string {
  const hex = /^sha256\/\/([A-Za-z0-9+/]{43}=)$/.test(text)
    ? Buffer.from(text.slice('sha256//'.length), 'base64').toString('hex')
    : text.toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return hex;
  throw new CliError({
    code: 'client.invalid_pin',
    message: `${JSON.stringify(text.slice(0, 100))} is no pinned key.`,
    next: 'Give the SHA-256 of the TLS key as sha256//BASE64 or as 64 hex digits.',
  });
}

/** What control left in a data folder, or undefined where there is nothing of that form. */
export function localCredentialsIn(dataDir: string): LocalCredentials | undefined {
  return readJsonFile(join(dataDir, 'credentials.json'), localCredentials);
}

function checkedUrl(url: string): string {
  const parsed = URL.parse(url);
  if (parsed !== null && (parsed.protocol === 'http:' || parsed.protocol === 'https:')) {
    return url.replace(/\/+$/, '').replace(/\/v1$/, '');
  }
  throw new CliError({
    code: 'client.invalid_url',
    message: `${JSON.stringify(url.slice(0, 200))} is no http or https address.`,
    next: 'Give it as in --url https://host:7700.',
  });
}

function sameAddress(a: string, b: string): boolean {
  const [left, right] = [URL.parse(a), URL.parse(b)];
  return left !== null && left.origin === right?.origin;
}

function given(env: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  const value = env[name];
  return value === undefined || value === '' ? undefined : value;
}
