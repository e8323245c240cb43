import type { Command } from 'commander';
import { type Cli, leaf } from '../command.ts';
import { readInput } from '../read-input.ts';

const MAX_KEY_BYTES = 16_384;

/** Needs no network: it runs where the network key is kept. */
export function addNetworkKeyCertify(parent: Command, cli: Cli): void {
  leaf(parent, 'certify <signing-key>', 'sign a certificate with a network key that is kept offline')
    .requiredOption('--key <file>', 'PEM file of the network key; - for stdin')
    .requiredOption('--network <id>', 'id of the network, as `network-key show` has it')
    .action(
      cli.action<{ readonly key: string; readonly network: string }>(async ({ host, output, options }, publicKey) => {
        const { certifySigningKey, importSigningKey } = await import('@subcloud/kit/signing');
        const key = importSigningKey(await readInput(options.key, host.stdin, MAX_KEY_BYTES));
        const nowMs = host.clock.nowMs();
        output.result(certifySigningKey(key, { networkId: options.network, publicKey }, nowMs), (made) =>
          JSON.stringify(made),
        );
      }),
    );
}
