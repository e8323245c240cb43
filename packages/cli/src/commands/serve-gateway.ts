import { loadConfig } from '@subcloud/kit/config';
import { createLog } from '@subcloud/kit/log';
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
        const { gatewayOptions, runGateway } = await import('@subcloud/gateway/run');
        const { serveRole } = await import('../serve-role.ts');
        const run = (flags: Readonly<Record<string, string | boolean>>) => {
          const config = loadConfig(gatewayOptions, { flags, env: host.env });
          const log = createLog('gateway', config.logLevel);
          return runGateway({ config, clock: host.clock, random: host.random, log });
        };
        await serveRole(host, output, { name: 'gateway', options: gatewayOptions, run }, args.flat());
      }),
    );
}
