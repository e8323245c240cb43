/** The three ways to an account key: the admin token makes the first account, a key that one has, or a code that one approves in a browser. */
import { type Client, createClient } from '@subcloud/sdk/client';
import { CliError } from './cli-error.ts';
import type { CommandContext } from './command.ts';
import type { FoundNetwork } from './find-network.ts';
import { askSecret, secretFromStdin } from './prompt.ts';

export interface SignInOptions {
  readonly email?: string;
  readonly id?: string;
  readonly name?: string;
  readonly passwordStdin?: boolean;
  readonly tokenStdin?: boolean;
}
export interface SignedIn {
  readonly principal: string;
  readonly id: string;
  readonly key: string;
}

const KEY_NAME = 'subcloud login';

/** `given`: a key or admin token from a flag or the environment. */
export async function signIn(
  context: CommandContext<SignInOptions>,
  network: FoundNetwork,
  given: string | undefined,
): Promise<SignedIn & { readonly networkId: string }> {
  const anybody = createClient({ ...network, credential: undefined });
  try {
    const { id: networkId } = await anybody.call('network');
    return { ...(await byWhatThereIs(context, network, given, anybody)), networkId };
  } finally {
    await anybody.close();
  }
}

async function byWhatThereIs(
  context: CommandContext<SignInOptions>,
  network: FoundNetwork,
  given: string | undefined,
  anybody: Client,
): Promise<SignedIn> {
  const { host, options } = context;
  const token = options.tokenStdin === true ? await secretFromStdin(host) : given;
  const clientFor = (credential: string): Client => createClient({ ...network, credential });
  const { hasAccounts } = await anybody.call('loginOptions');
  const isAdminToken = token?.startsWith('sca_') === true;
  const adminToken = isAdminToken ? token : token === undefined ? network.local?.adminToken : undefined;
  if (!hasAccounts && adminToken !== undefined) return firstAccount(context, clientFor(adminToken));
  if (isAdminToken)
    throw new CliError({
      code: 'client.conflict',
      message: 'The first account is made already, and the admin token signs in nobody.',
      next: 'Sign in with `subcloud login`, or pass the admin token with each command.',
    });
  if (token !== undefined) return withKey(clientFor(token), token);
  if (!hasAccounts)
    throw new CliError({
      code: 'client.no_account',
      message: 'This network has no account yet.',
      next: 'Its admin makes the first one: `subcloud login --token-stdin` with the admin token of its credentials.json.',
    });
  return byDevice(context, anybody);
}

async function firstAccount({ host, options }: CommandContext<SignInOptions>, client: Client): Promise<SignedIn> {
  try {
    if (options.email === undefined)
      throw new CliError({
        code: 'client.invalid_option',
        message: 'The first account of this network is to be made, and has no e-mail address yet.',
        next: 'Pass --email, and --id where it shall be called otherwise.',
      });
    const password =
      options.passwordStdin === true
        ? await secretFromStdin(host)
        : await askSecret(host, 'Password of the new account, at least 12 characters', '--password-stdin');
    return await client.call('createFirstAccount', {
      body: {
        email: options.email,
        password,
        keyName: KEY_NAME,
        ...(options.id === undefined ? {} : { id: options.id }),
        ...(options.name === undefined ? {} : { displayName: options.name }),
      },
    });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new CliError({ code: 'client.invalid_option', message: error.message, next: 'Correct it and try again.' });
  } finally {
    await client.close();
  }
}

async function withKey(client: Client, key: string): Promise<SignedIn> {
  try {
    const { principal, credential } = await client.call('whoami');
    if (principal === null || credential === null) throw new Error('the key acts for nobody');
    return { principal, id: credential, key };
  } finally {
    await client.close();
  }
}

async function byDevice({ host, output }: CommandContext<SignInOptions>, client: Client): Promise<SignedIn> {
  const device = await client.call('startDevice', { body: { clientName: KEY_NAME } });
  output.progress(
    `Open ${client.url}${device.path}?code=${device.userCode}\nand approve the code ${device.userCode}. Waiting for ${device.expiresInS / 60} minutes at most …`,
  );
  const endsAtMs = host.clock.nowMs() + device.expiresInS * 1_000;
  while (host.clock.nowMs() < endsAtMs) {
    await host.clock.sleep(device.intervalS * 1_000);
    try {
      return await client.call('pollDevice', { body: { deviceCode: device.deviceCode } });
    } catch (error) {
      if (!isPending(error)) throw error;
    }
  }
  throw new CliError({
    code: 'client.authorization_pending',
    message: 'Nobody has approved the code.',
    next: 'Run `subcloud login` again.',
  });
}

function isPending(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'client.authorization_pending';
}
