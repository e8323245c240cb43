/**
 * A network over machines of their own: control, a gateway, a caller, and two nodes behind one NAT that accepts nothing
 * from outside. All processes are the real ones.
 *
 * ```
 * control ── gateway ── router (NAT) ── near, far     caller: on the gateway's network
 * ```
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { eventually } from '@subcloud/testkit/eventually';
import { testDatabase } from '@subcloud/testkit/test-database';
import type { Asked, Told } from './caller.ts';
import { Namespaces } from './namespaces.ts';

const CLI = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url));
const AGENT = fileURLToPath(new URL('../../packages/agent/src/main.ts', import.meta.url));
const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
export const GATEWAY = '198.18.0.1';
/** The router's address towards the gateway: what the network sees of all nodes behind it. */
export const NAT_ADDRESS = '198.18.0.2';
const CONTROL = '198.18.2.1';
const PORT = 7700;
const DELAYED_PORT = 7701;
export const DELAY_MS = 150;
const MODELS = { near: 'near-model', far: 'far-model' } as const;
export type NodeName = keyof typeof MODELS;

export interface Machines extends AsyncDisposable {
  readonly namespaces: Namespaces;
  /** What the gateway says of itself and its links. */
  gatewayLog(): string;
  call(node: NodeName): Promise<Told>;
  /** Calls until one ends as it should. */
  served(node: NodeName): Promise<void>;
  /** JSON of a CLI command on control's machine. */
  cli(...args: readonly string[]): unknown;
  places(places: readonly { readonly cidr: string; readonly country: string }[]): void;
}

export async function startMachines(options: {
  /** Control on a machine of its own, without which everything but nodes and caller is on the gateway's. */
  readonly apart: boolean;
}): Promise<Machines> {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-nat-'));
  const namespaces = new Namespaces();
  let made: Awaited<ReturnType<typeof testDatabase>> | undefined;
  const database = async (): ReturnType<typeof testDatabase> => (made = await testDatabase());
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SUBCLOUD_')));
  let log = '';
  const start = (
    machine: string,
    file: string,
    args: readonly string[],
    env: Record<string, string> = {},
  ): ChildProcess => {
    const child = namespaces.spawn(machine, [process.execPath, file, ...args], {
      env: { ...own, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    child.stderr?.on('data', (part: Buffer) => (log += `${machine}: ${part.toString()}`));
    return child;
  };
  const ready = async (child: ChildProcess): Promise<string> => {
    const { stdout } = child;
    if (stdout === null) throw new Error('no stdout');
    for await (const line of createInterface({ input: stdout })) return line;
    throw new Error(`a process ended before it was ready:\n${log}`);
  };
  const controlDir = join(folder, 'control');
  // On control's machine, never on this one: from here the addresses of the test would lead out into the world.
  const cli = (...args: readonly string[]): unknown => {
    const machine = options.apart ? 'control' : 'gateway';
    return JSON.parse(namespaces.exec(machine, process.execPath, CLI, ...args, '--data', controlDir, '--json'));
  };
  const startTogether = async (): Promise<string> => {
    const args = ['up', '--json', '--no-demo', '--data', controlDir, '--host', GATEWAY, '--port', String(PORT)];
    return (JSON.parse(await ready(start('gateway', CLI, args))) as { apiKey: string }).apiKey;
  };
  const startApart = async (): Promise<string> => {
    const controlArgs = ['serve', 'control', '--json', '--data-dir', controlDir, '--gateways-host', CONTROL];
    await ready(start('control', CLI, controlArgs, { SUBCLOUD_DATABASE_URL: (await database()).connectionString }));
    const { gatewayToken } = cli('gateway-token', 'create', '--name', 'nat') as { gatewayToken: string };
    const gatewayArgs = ['serve', 'gateway', '--json', '--data-dir', join(folder, 'gateway'), '--host', GATEWAY];
    const publicUrl = `https://${GATEWAY}:${PORT}`;
    const ways = ['--control-url', `https://${CONTROL}:7710`, '--public-url', publicUrl];
    await ready(start('gateway', CLI, [...gatewayArgs, ...ways], { SUBCLOUD_GATEWAY_TOKEN: gatewayToken }));
    return (cli('key', 'create', '--principal', 'user:admin') as { key: string }).key;
  };
  const dispose = async (): Promise<void> => {
    await namespaces[Symbol.asyncDispose]();
    await made?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    cable(namespaces);
    const apiKey = options.apart ? await startApart() : await startTogether();
    await ready(
      start('router', here('delay.ts'), ['198.18.1.1', String(DELAYED_PORT), GATEWAY, String(PORT), String(DELAY_MS)]),
    );
    for (const [name, model] of Object.entries(MODELS)) {
      const engineUrl = await ready(start(name, here('engine.ts'), [model]));
      const { joinToken } = cli('join-token', 'create', '--operator', 'user:admin') as { joinToken: string };
      start(name, AGENT, [], {
        SUBCLOUD_URL: `https://${GATEWAY}:${PORT}`,
        SUBCLOUD_JOIN_TOKEN: joinToken,
        SUBCLOUD_DATA_DIR: join(folder, name),
        SUBCLOUD_ENGINES: engineUrl,
        SUBCLOUD_NAME: name,
      });
    }
    const caller = callerOn(start('caller', here('caller.ts'), []));
    const call = (node: NodeName): Promise<Told> =>
      caller({ url: `https://${GATEWAY}:${PORT}`, key: apiKey, model: MODELS[node] });
    return {
      namespaces,
      gatewayLog: () => log,
      call,
      cli,
      places: (places) => {
        const file = join(folder, 'places.json');
        writeFileSync(file, JSON.stringify({ places }));
        cli('places', 'set', '-f', file);
      },
      served: async (node) => {
        await eventually(`${node} serves`, async () => (await call(node)).whole, 90_000);
      },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw new Error(`the machines did not start: ${error instanceof Error ? error.message : String(error)}\n${log}`, {
      cause: error,
    });
  }
}

/** Cables, routes, and a NAT that masquerades what comes from inside and takes nothing from outside. */
function cable(namespaces: Namespaces): void {
  for (const name of ['control', 'gateway', 'router', 'near', 'far', 'caller']) namespaces.add(name);
  namespaces.link('control', `${CONTROL}/24`, 'gateway', '198.18.2.2/24');
  namespaces.link('gateway', `${GATEWAY}/24`, 'router', `${NAT_ADDRESS}/24`);
  namespaces.link('caller', '198.18.3.2/24', 'gateway', '198.18.3.1/24');
  namespaces.link('router', '198.18.1.1/30', 'near', '198.18.1.2/30');
  namespaces.link('router', '198.18.1.5/30', 'far', '198.18.1.6/30');
  namespaces.exec('caller', 'ip', 'route', 'add', 'default', 'via', '198.18.3.1');
  namespaces.exec('near', 'ip', 'route', 'add', 'default', 'via', '198.18.1.1');
  namespaces.exec('far', 'ip', 'route', 'add', 'default', 'via', '198.18.1.5');
  namespaces.exec('router', 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
  // The far node's way to the gateway leads through the delaying proxy, whose own way does not.
  namespaces.nft(
    'router',
    `table ip nat {
      chain before {
        type nat hook prerouting priority -100;
        iifname "far" tcp dport ${PORT} dnat to 198.18.1.1:${DELAYED_PORT}
      }
      chain after {
        type nat hook postrouting priority 100;
        oifname "gateway" masquerade
      }
    }
    table ip filter {
      chain in {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        iifname { "lo", "near", "far" } accept
      }
      chain through {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname { "near", "far" } oifname "gateway" accept
      }
      chain lossy {
        type filter hook forward priority -10;
      }
    }\n`,
  );
  for (const name of ['near', 'far']) {
    namespaces.nft(
      name,
      `table ip filter {
        chain in {
          type filter hook input priority 0; policy drop;
          iifname "lo" accept
          ct state established,related accept
          counter drop
        }
      }\n`,
    );
  }
}

function callerOn(child: ChildProcess): (asked: Omit<Asked, 'number'>) => Promise<Told> {
  const waiting = new Map<number, (told: Told) => void>();
  let number = 0;
  const { stdout } = child;
  if (stdout === null) throw new Error('no stdout');
  createInterface({ input: stdout }).on('line', (line) => {
    const told = JSON.parse(line) as Told;
    waiting.get(told.number)?.(told);
    waiting.delete(told.number);
  });
  return (asked) =>
    new Promise((resolve) => {
      number += 1;
      waiting.set(number, resolve);
      child.stdin?.write(`${JSON.stringify({ ...asked, number })}\n`);
    });
}
