/**
 * What all commands share: options, the way to the network, and that every failure ends in a message and an exit code.
 * What only a command's action needs is loaded when it runs, so that `--help` does not wait for it.
 */
import type { Client } from '@subcloud/sdk/client';
import type { Command } from 'commander';
import type { CliHost } from './cli-host.ts';
import { type NetworkFlags, findNetwork } from './find-network.ts';
import { type Output, createOutput } from './output.ts';

export interface CommandContext<Options = Record<never, never>> {
  readonly host: CliHost;
  readonly output: Output;
  readonly options: Options;
}

export interface ClientContext<Options = Record<never, never>> extends CommandContext<Options> {
  readonly client: Client;
  /**
   * Of the local network, whose admin token is used: it acts for nobody, and what needs somebody is made for its first
   * principal. Undefined where the credential was given, since then the server knows whom it acts for.
   */
  readonly local: { readonly principal: string; readonly asPrincipal: Client } | undefined;
}

/** Positional arguments in order; those that are optional may be absent. */
type Arguments = readonly (string | undefined)[];
type CommanderAction = (...given: unknown[]) => Promise<void>;

/** How commands are put together; `failed` is set by the first failure and decides the exit code. */
export class Cli {
  readonly host: CliHost;
  failed = false;
  /** Of a command that did what it was asked and has something to say with it (`plan`: 2 means changes). */
  exitCode = 0;

  constructor(host: CliHost) {
    this.host = host;
  }

  /** An action that needs no network. */
  action<Options>(run: (context: CommandContext<Options>, ...args: string[]) => Promise<void>): CommanderAction {
    return async (...given) => {
      // Commander passes the positional arguments, then the options, then the command.
      const options = given.at(-2) as Options & { readonly json?: boolean };
      const args = given.slice(0, -2) as Arguments;
      const output = createOutput(this.host, options.json === true);
      try {
        await run({ host: this.host, output, options }, ...(args as string[]));
      } catch (error) {
        this.failed = true;
        output.failure(error);
      }
    };
  }

  /** An action that calls the control API, with the network that flags, environment or data folder name. */
  clientAction<Options>(run: (context: ClientContext<Options>, ...args: string[]) => Promise<void>): CommanderAction {
    return this.action<Options & NetworkFlags>(async (context, ...args) => {
      const { local, ...network } = findNetwork(context.options, this.host.env, 'control');
      const { createClient } = await import('@subcloud/sdk/client');
      const client = createClient(network);
      const asPrincipal = createClient({ ...network, credential: local?.apiKey });
      try {
        const forLocal = local === undefined ? undefined : { principal: local.principal, asPrincipal };
        await run({ ...context, client, local: forLocal }, ...args);
      } finally {
        await Promise.all([client.close(), asPrincipal.close()]);
      }
    });
  }
}

/** A leaf command with `--json`. */
export function leaf(parent: Command, nameAndArguments: string, summary: string): Command {
  return parent.command(nameAndArguments).description(summary).option('--json', 'print one JSON document');
}

/** A leaf command that speaks to a network. */
export function networkLeaf(parent: Command, nameAndArguments: string, summary: string): Command {
  return leaf(parent, nameAndArguments, summary)
    .option('--url <url>', 'address of the network (SUBCLOUD_URL); default: the one started here')
    .option('--token <secret>', 'credential (SUBCLOUD_TOKEN); default: that of the one started here')
    .option('--data <dir>', 'data folder of the one started here (SUBCLOUD_DATA)')
    .option('--pin <key>', 'the TLS key to trust, as sha256//BASE64 (SUBCLOUD_PIN)');
}
