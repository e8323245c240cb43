import type { Command } from 'commander';
import { type Cli, leaf } from '../command.ts';

interface UpFlags {
  readonly port?: string;
  readonly host?: string;
  readonly data?: string;
  readonly publicUrl?: string;
  readonly behindProxy?: string;
  readonly tlsCertificate?: string;
  readonly tlsKey?: string;
  readonly workers?: string;
  readonly workerPort?: string;
  readonly workerUrl?: string;
  readonly demo: boolean;
  readonly logLevel?: string;
}

export function addUp(parent: Command, cli: Cli): void {
  leaf(parent, 'up', 'run the whole network: database, control, gateway, and a demo node where there is no other')
    .option('--port <number>', 'port of the network, 0 for a free one (SUBCLOUD_PORT); default: 7700')
    .option('--host <address>', 'address to listen on; off loopback it is TLS (SUBCLOUD_HOST); default: 127.0.0.1')
    .option('--data <dir>', 'folder of everything that is kept (SUBCLOUD_DATA); default: ./.subcloud')
    .option('--public-url <url>', 'address under which others reach it, where that is another (SUBCLOUD_PUBLIC_URL)')
    .option('--behind-proxy <cidr,…>', 'proxies in front, whose word on addresses counts (SUBCLOUD_BEHIND_PROXY)')
    .option('--tls-certificate <file>', 'certificate with its chain (SUBCLOUD_TLS_CERTIFICATE); default: one made here')
    .option('--tls-key <file>', 'private key of the certificate (SUBCLOUD_TLS_KEY)')
    .option('--workers <number>', 'gateway processes that share the port (SUBCLOUD_WORKERS); default: 1')
    .option(
      '--worker-port <number>',
      'own port of the first of several, the others have the next ones; default: port + 1',
    )
    .option('--worker-url <url>', 'address under which nodes reach that port, where it is another')
    .option('--no-demo', 'without the demo engine and its node')
    .option('--log-level <level>', 'what stderr shows: trace to error, or silent (SUBCLOUD_LOG_LEVEL); default: warn')
    .action(
      cli.action<UpFlags>(async ({ host, output, options }) => {
        const { loadUpConfig } = await import('../up/up-options.ts');
        const { demo, ...flags } = options;
        const config = loadUpConfig({ ...flags, ...(demo ? {} : { noDemo: true }) }, host.env);
        const { runUp } = await import('../up/run-up.ts');
        await runUp(host, output, config);
      }),
    );
}
