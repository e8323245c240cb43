import type { Command } from 'commander';
import type { Cli } from '../command.ts';

export function addServeGateway(parent: Command, cli: Cli): void {
  parent
    .command('gateway [options...]')
    .description('run gateway alone; its own `--help` has its options')
    // Its options are those of its schema, which is loaded with it.
    .helpOption(false)
    .allowUnknownOption()
    .action(
      cli.action(async ({ host, output }, ...args) => {
        const { serveGateway, serveGatewayOptions } = await import('../serve-gateway.ts');
        const { serveRole } = await import('../serve-role.ts');
        const run = (flags: Readonly<Record<string, string | boolean>>) => serveGateway(host, flags);
        await serveRole(host, output, { name: 'gateway', options: serveGatewayOptions, run }, args.flat());
      }),
    );
}
