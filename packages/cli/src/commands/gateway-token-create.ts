import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { durationSeconds } from '../duration.ts';
import { fields } from '../output.ts';

export function addGatewayTokenCreate(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'create', 'make a token that enrols one gateway')
    .option('--name <name>', 'what the gateway is called in lists')
    .option('--expires-in <duration>', 'for example 1h', '24h')
    .action(
      cli.clientAction<{ readonly name?: string; readonly expiresIn: string }>(async ({ client, output, options }) => {
        const body = {
          expiresInS: durationSeconds(options.expiresIn),
          ...(options.name === undefined ? {} : { name: options.name }),
        };
        output.result(await client.call('createGatewayToken', { body }), (made) =>
          [
            fields([
              ['id', made.id],
              ['expires', made.expiresAt],
            ]),
            '',
            'On the machine of the gateway (the token is shown this once, and is good for one gateway):',
            `  SUBCLOUD_GATEWAY_TOKEN=${made.gatewayToken} \\`,
            '  subcloud serve gateway --control-url https://CONTROL:7710 --host 0.0.0.0 --public-url https://THIS-HOST:7700',
          ].join('\n'),
        );
      }),
    );
}
