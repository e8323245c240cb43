/**
 * nginx, wrk and Portkey, which the project does not depend on: taken where they are installed, else brought into a
 * folder of their own (Debian's packages unpacked without installing them, Portkey by its own lock file).
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('./node_modules', import.meta.url));
const PORTKEY = fileURLToPath(new URL('./portkey', import.meta.url));
const PORTKEY_SERVER = join(PORTKEY, 'node_modules/@portkey-ai/gateway/build/start-server.js');
/** wrk's scripts are Lua, and its library is no part of a small Debian. */
const PACKAGES = { nginx: ['nginx'], wrk: ['wrk', 'libluajit-5.1-2', 'libluajit-5.1-common'] } as const;

export interface Tool {
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Undefined, with the reason on stderr, where it is neither there nor to be had. */
export function findTool(name: keyof typeof PACKAGES, say: (text: string) => void): Tool | undefined {
  const installed = which(name);
  if (installed !== undefined) return { command: installed, env: {} };
  const root = join(FOLDER, 'debian');
  const unpacked = unpackedTool(root, name);
  if (unpacked !== undefined) return unpacked;
  say(`fetching ${name} from Debian`);
  try {
    const downloads = join(root, 'downloads');
    mkdirSync(downloads, { recursive: true });
    const quiet = { cwd: downloads, stdio: 'pipe', timeout: 180_000 } as const;
    try {
      execFileSync('apt-get', ['download', ...PACKAGES[name]], quiet);
    } catch {
      execFileSync('apt-get', ['update'], quiet);
      execFileSync('apt-get', ['download', ...PACKAGES[name]], quiet);
    }
    for (const file of readdirSync(downloads)) execFileSync('dpkg-deb', ['-x', file, root], quiet);
    rmSync(downloads, { recursive: true, force: true });
  } catch (error) {
    say(`${name} is missing and cannot be fetched (${firstLineOf(error)}): install it with apt-get install ${name}`);
    return undefined;
  }
  return unpackedTool(root, name);
}

/** The path of Portkey's server; undefined, with the reason on stderr, where npm cannot bring it. */
export function findPortkey(say: (text: string) => void): string | undefined {
  if (existsSync(PORTKEY_SERVER)) return PORTKEY_SERVER;
  say('fetching Portkey from npm');
  try {
    const options = { cwd: PORTKEY, stdio: 'pipe', timeout: 180_000 } as const;
    execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], options);
  } catch (error) {
    say(`Portkey is missing: npm ci in bench/gateway/portkey failed (${firstLineOf(error)})`);
    return undefined;
  }
  return PORTKEY_SERVER;
}

function unpackedTool(root: string, name: string): Tool | undefined {
  const command = ['usr/sbin', 'usr/bin'].map((folder) => join(root, folder, name)).find((path) => existsSync(path));
  if (command === undefined) return undefined;
  const libraries = join(root, 'usr/lib');
  const folders = existsSync(libraries) ? readdirSync(libraries).map((folder) => join(libraries, folder)) : [];
  const tool = { command, env: { LD_LIBRARY_PATH: folders.join(':') } };
  try {
    execFileSync(command, ['-v'], { env: { ...process.env, ...tool.env }, stdio: 'pipe' });
  } catch (error) {
    // wrk says its version with exit code 1; a program whose libraries are missing says so with 127.
    if ((error as { status?: number }).status !== 1) return undefined;
  }
  return tool;
}

function which(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

function firstLineOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
}
