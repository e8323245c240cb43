/**
 * Network namespaces of a test's own: machines that are not this one. Everything in them is on 198.18.0.0/15, which
 * RFC 2544 sets aside for benchmarks; they have no way out, and nothing of a test runs on that range outside of them.
 */
import { type ChildProcess, type SpawnOptions, execFileSync, spawn } from 'node:child_process';
import { BlockList } from 'node:net';

const RANGE = new BlockList();
RANGE.addSubnet('198.18.0.0', 15);

/** Why namespaces cannot be used here; undefined where they can. */
export function namespacesMissing(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are of Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  for (const [program, packageName] of [
    ['ip', 'iproute2'],
    ['nft', 'nftables'],
  ] as const) {
    try {
      execFileSync(program, ['-V'], { stdio: 'ignore' });
    } catch {
      return `\`${program}\` is not installed (package ${packageName})`;
    }
  }
  const probe = `sc-${process.pid}-probe`;
  try {
    execFileSync('ip', ['netns', 'add', probe], { stdio: 'ignore' });
    execFileSync('ip', ['netns', 'exec', probe, 'nft', 'add', 'table', 'ip', 'probe'], { stdio: 'ignore' });
  } catch {
    return 'the kernel gives no network namespace with nftables here';
  } finally {
    try {
      execFileSync('ip', ['netns', 'delete', probe], { stdio: 'ignore' });
    } catch {
      // It was never made.
    }
  }
  return undefined;
}

export class Namespaces implements AsyncDisposable {
  readonly #names = new Set<string>();
  readonly #children = new Set<ChildProcess>();
  #links = 0;

  /** A machine with a loopback and nothing else. */
  add(name: string): void {
    run('ip', 'netns', 'add', full(name));
    this.#names.add(name);
    this.exec(name, 'ip', 'link', 'set', 'lo', 'up');
  }

  /** A cable between two machines; addresses as `198.18.0.1/24`. Its ends are named as the other machine. */
  link(one: string, oneAddress: string, other: string, otherAddress: string): void {
    const [left, right] = [`v${process.pid % 100_000}l${this.#links}`, `v${process.pid % 100_000}r${this.#links}`];
    this.#links += 1;
    run('ip', 'link', 'add', left, 'netns', full(one), 'type', 'veth', 'peer', 'name', right, 'netns', full(other));
    for (const [name, device, address, peer] of [
      [one, left, oneAddress, other],
      [other, right, otherAddress, one],
    ] as const) {
      const [ip = ''] = address.split('/');
      if (!RANGE.check(ip)) throw new Error(`${address} is not in 198.18.0.0/15`);
      this.exec(name, 'ip', 'link', 'set', device, 'name', peer);
      this.exec(name, 'ip', 'address', 'add', address, 'dev', peer);
      this.exec(name, 'ip', 'link', 'set', peer, 'up');
    }
  }

  /** Pulls the cable from `name` to `peer`, or puts it back. */
  plug(name: string, peer: string, plugged: boolean): void {
    this.exec(name, 'ip', 'link', 'set', peer, plugged ? 'up' : 'down');
  }

  nft(name: string, rules: string): void {
    execFileSync('ip', ['netns', 'exec', full(name), 'nft', '-f', '-'], { input: rules });
  }

  exec(name: string, ...command: readonly string[]): string {
    if (!this.#names.has(name)) throw new Error(`there is no machine ${name}`);
    return run('ip', 'netns', 'exec', full(name), ...command);
  }

  /** A process on that machine; ended with it. Refuses a machine that could reach any other address than its own range. */
  spawn(name: string, command: readonly string[], options: SpawnOptions = {}): ChildProcess {
    this.#assertClosed(name);
    const child = spawn('ip', ['netns', 'exec', full(name), ...command], options);
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  #assertClosed(name: string): void {
    const addresses = JSON.parse(this.exec(name, 'ip', '-j', '-4', 'address')) as { addr_info: { local: string }[] }[];
    const foreign = addresses
      .flatMap(({ addr_info }) => addr_info)
      .find(({ local }) => local !== '127.0.0.1' && !RANGE.check(local));
    if (foreign !== undefined) throw new Error(`${name} has an address outside of its range: ${foreign.local}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = [...this.#children].map(
      (child) =>
        new Promise<void>((resolve) => {
          if (child.exitCode !== null || child.signalCode !== null) return resolve();
          child.once('exit', () => resolve());
          child.kill('SIGTERM');
          setTimeout(() => child.kill('SIGKILL'), 15_000).unref();
        }),
    );
    await Promise.all(ended);
    for (const name of this.#names) run('ip', 'netns', 'delete', full(name));
  }
}

function full(name: string): string {
  return `sc-${process.pid}-${name}`;
}

function run(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
