import { join } from 'node:path';
import { loadConfig } from '@subcloud/kit/config';
import { createLog } from '@subcloud/kit/log';
import type { Command } from 'commander';
import type { Cli } from '../command.ts';

export function addServeControl(parent: Command, cli: Cli): void {
  parent
    .command('control [options...]')
    .description('run control alone; its own `--help` has its options')
    // Its options are those of its schema, which is loaded with it.
    .helpOption(false)
    .allowUnknownOption()
    .action(
      cli.action(async ({ host, output }, ...args) => {
        const { controlOptions, runControl } = await import('@subcloud/control/run');
        const { bundleAgent } = await import('../agent-file/bundle-agent.ts');
        const { serveRole } = await import('../serve-role.ts');
        const run = async (flags: Readonly<Record<string, string | boolean>>) => {
          const given = loadConfig(controlOptions, { flags, env: host.env });
          const agentFile = given.agentFile ?? (await bundleAgent(join(given.dataDir, 'run', 'agent.mjs'))).file;
          const config = { ...given, agentFile };
          const log = createLog('control', config.logLevel);
          return runControl({ config, clock: host.clock, random: host.random, log, traceEnv: host.env });
        };
        await serveRole(host, output, { name: 'control', options: controlOptions, run }, args.flat());
      }),
    );
}
