import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { type Cli, networkLeaf } from '../command.ts';

interface Options {
  readonly once?: boolean;
  readonly interval: string;
  readonly sort: string;
}

export function addTop(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'top', 'what pools and nodes carry now, live')
    .option('--once', 'one picture, then end; so it is where the output is no terminal')
    .option('--interval <seconds>', 'between two looks, 0.5 to 60', '1')
    .option('--sort <key>', 'name, requests, inflight, latency, failed or queue', 'requests')
    .addHelpText(
      'after',
      '\nKeys: q ends, s sorts by the next key, + and - change the interval. With --json one document a look, each on a line.',
    )
    .action(
      cli.clientAction<Options>(async ({ client, host, output, options }) => {
        const { SORT_KEYS } = await import('../top/load-table.ts');
        const { runTop } = await import('../top/run-top.ts');
        const intervalMs = Number(options.interval) * 1_000;
        const sort = SORT_KEYS.find((key) => key === options.sort);
        if (!(intervalMs >= 500 && intervalMs <= 60_000)) throw wrong('--interval is 0.5 to 60 seconds.');
        if (sort === undefined) throw wrong(`--sort is one of ${SORT_KEYS.join(', ')}.`);
        await runTop({ client, host, output }, { once: options.once === true, intervalMs, sort });
      }),
    );
}

function wrong(message: string): CliError {
  return new CliError({ code: 'client.invalid_option', message, next: '`subcloud top --help` lists what there is.' });
}
