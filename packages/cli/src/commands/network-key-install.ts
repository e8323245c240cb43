import type { InputOf } from '@subcloud/sdk/client';
import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { type Cli, networkLeaf } from '../command.ts';
import { readInput } from '../read-input.ts';
import { signingKeysText } from '../signing-keys-text.ts';

type Certificate = InputOf<'installSigningKeyCertificate'>['body']['certificate'];
const MAX_CERTIFICATE_BYTES = 65_536;

export function addNetworkKeyInstall(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'install <file>', 'install a certificate that `certify` made; - for stdin').action(
    cli.clientAction(async ({ client, host, output }, file: string) => {
      const certificate = parse(await readInput(file, host.stdin, MAX_CERTIFICATE_BYTES), file);
      output.result(await client.call('installSigningKeyCertificate', { body: { certificate } }), signingKeysText);
    }),
  );
}

/** Its shape is control's to check. */
function parse(text: string, file: string): Certificate {
  try {
    return JSON.parse(text) as Certificate;
  } catch (error) {
    throw new CliError({
      code: 'client.invalid_file',
      message: `${file} is no JSON document.`,
      next: 'Give the output of `subcloud network-key certify`.',
      cause: error,
    });
  }
}
