import { parseArgs } from 'node:util';
import { type OptionSpecs, envName, flagName } from '@subcloud/kit/config';
import { CliError } from './cli-error.ts';
import type { CliHost } from './cli-host.ts';
import { configFault } from './config-fault.ts';
import type { Output } from './output.ts';
import { listenForStop } from './up/stop-request.ts';

export interface Running {
  /** What its ready line says beside its name. */
  readonly ready?: { readonly url?: string; readonly pin?: string; readonly [more: string]: unknown };
  stop(): Promise<void>;
}

export interface Role {
  readonly name: 'control' | 'gateway';
  readonly options: OptionSpecs;
  /** Starts it with the flags that were given; the environment fills in the rest. */
  run(flags: Readonly<Record<string, string | boolean>>): Promise<Running>;
}

const FORCED_EXIT_CODE = 130;

/** Runs one service in the foreground until it is asked to stop. Its own schema gives flags and help. */
export async function serveRole(host: CliHost, output: Output, role: Role, args: readonly string[]): Promise<void> {
  const help = `subcloud serve ${role.name} --help`;
  if (args.includes('--help') || args.includes('-h')) {
    output.result(null, () => helpText(role));
    return;
  }
  const stop = listenForStop(host, host.clock, () => host.endNow(FORCED_EXIT_CODE));
  try {
    // The role's own options follow its name, so `--json` may stand among them.
    const own = args.filter((argument) => argument !== '--json');
    const isJson = own.length < args.length;
    const running = await role.run(parseFlags(role, own, help));
    output.result({ ready: role.name, ...running.ready }, (ready) =>
      isJson ? JSON.stringify(ready) : readyText(ready),
    );
    await stop.asked();
    output.progress('Draining; Ctrl-C again stops at once.');
    await running.stop();
  } catch (error) {
    throw configFault(error, help);
  } finally {
    stop.dispose();
  }
}

function readyText({
  ready,
  url,
  pin,
}: {
  readonly ready: string;
  readonly url?: string;
  readonly pin?: string;
}): string {
  const where = url === undefined ? '' : ` at ${url}`;
  const trust = pin === undefined ? '' : `\nIts TLS key, for \`subcloud --pin\` and \`curl -k --pinnedpubkey\`: ${pin}`;
  return `${ready} is ready${where}.${trust}`;
}

function parseFlags(role: Role, args: readonly string[], help: string): Record<string, string | boolean> {
  const byFlag = new Map(Object.keys(role.options).map((name) => [flagName(name).slice(2), name]));
  const options = Object.fromEntries(
    [...byFlag].map(([flag, name]) => [
      flag,
      { type: role.options[name]?.boolean === true ? ('boolean' as const) : ('string' as const) },
    ]),
  );
  try {
    const { values } = parseArgs({ options, args: [...args] });
    return Object.fromEntries(Object.entries(values).map(([flag, value]) => [byFlag.get(flag) ?? flag, value ?? '']));
  } catch (error) {
    throw new CliError({
      code: 'client.invalid_option',
      message: error instanceof Error ? error.message : String(error),
      next: `\`${help}\` lists what there is.`,
      cause: error,
    });
  }
}

function helpText(role: Role): string {
  const lines = Object.entries(role.options).map(([name, spec]) => {
    const flag = spec.boolean === true ? flagName(name) : `${flagName(name)} <value>`;
    return `  ${flag.padEnd(28)} ${spec.help} (${envName(name)})`;
  });
  return [`Usage: subcloud serve ${role.name} [options]`, '', 'Options:', ...lines].join('\n');
}
