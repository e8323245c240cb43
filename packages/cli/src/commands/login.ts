import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { type NetworkFlags, findNetwork } from '../find-network.ts';
import { keepLogin } from '../logins.ts';
import { fields } from '../output.ts';
import type { SignInOptions } from '../sign-in.ts';

export function addLogin(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'login', 'sign in: later commands act as your account')
    .option('--token-stdin', 'read an account key, or the admin token, from stdin')
    .option('--email <address>', 'of the first account, which the admin token makes')
    .option('--id <id>', 'what that account is called; default: the part before the @')
    .option('--name <text>', 'its name for people')
    .option('--password-stdin', 'read its password from stdin')
    .action(
      cli.action<SignInOptions & NetworkFlags>(async (context) => {
        const { host, output, options } = context;
        const network = findNetwork(options, host.env, 'control', { ignoreLogin: true });
        const { signIn } = await import('../sign-in.ts');
        const given = options.token ?? host.env['SUBCLOUD_TOKEN'];
        const { principal, id, key, networkId } = await signIn(context, network, given === '' ? undefined : given);
        const file = keepLogin(host.env, {
          url: network.url,
          networkId,
          principal,
          credentialId: id,
          credential: key,
          trustedKeySha256: network.trustedKeySha256 ?? null,
        });
        output.result({ principal, network: networkId, url: network.url, credential: id, file }, () =>
          fields([
            ['signed in as', principal],
            ['network', `${networkId} at ${network.url}`],
            ['kept in', file],
          ]),
        );
      }),
    );
}
