/**
 * A llama.cpp server to test with: the one that is named, one on the PATH, one that was built before, or one built now
 * from what the demo engine's packages carry. Nothing is downloaded and nothing is put outside this repository.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const packages = join(root, 'demo-engine', 'node_modules');
const cache = join(root, '.cache', 'llama-server');
const BUILD_TOOLS = ['git', 'cmake', 'c++'] as const;

export interface FoundServer {
  readonly path: string;
  /** Where it is from, for people. */
  readonly from: string;
}

/** Why there is none; each line is something that was tried. */
export interface NoServer {
  readonly tried: readonly string[];
}

export async function findLlamaServer(
  env: Readonly<Record<string, string | undefined>>,
  say: (line: string) => void,
): Promise<FoundServer | NoServer> {
  const named = env['LLAMA_SERVER'];
  if (named !== undefined && named !== '') {
    return isProgram(named)
      ? { path: named, from: 'LLAMA_SERVER' }
      : { tried: [`LLAMA_SERVER names ${named}, which is no program`] };
  }
  const onPath = inPath('llama-server', env);
  if (onPath !== undefined) return { path: onPath, from: 'the PATH' };
  const tried = ['LLAMA_SERVER is not set', 'no llama-server on the PATH'];
  const parts = shippedParts();
  if (typeof parts === 'string') return { tried: [...tried, `it cannot be built: ${parts}`] };
  const folder = join(cache, parts.version);
  const path = join(folder, 'build', 'bin', 'llama-server');
  if (isProgram(path)) return { path, from: `built before from node-llama-cpp, llama.cpp ${parts.version}` };
  const missing = BUILD_TOOLS.filter((tool) => inPath(tool, env) === undefined);
  if (missing.length > 0) {
    return { tried: [...tried, `it cannot be built without ${missing.join(', ')} (Debian: git, cmake, g++)`] };
  }
  say(`building llama.cpp ${parts.version}'s server in ${folder}: some minutes, once`);
  const failed = await build(parts, folder, say);
  return failed === undefined
    ? { path, from: `built from node-llama-cpp, llama.cpp ${parts.version}` }
    : { tried: [...tried, failed] };
}

interface ShippedParts {
  readonly bundle: string;
  readonly libraries: string;
  readonly version: string;
}

/** Or why not. */
function shippedParts(): ShippedParts | string {
  const sources = join(packages, 'node-llama-cpp', 'llama');
  const bundle = join(sources, 'gitRelease.bundle');
  if (!existsSync(bundle)) return 'the demo engine is not installed (`npm test` installs it)';
  const platform = `${process.platform}-${process.arch}`;
  const libraries = join(packages, '@node-llama-cpp', platform, 'bins', platform);
  if (!existsSync(join(libraries, 'libllama-common.so'))) return `no libraries are shipped for ${platform}`;
  const { tag } = JSON.parse(readFileSync(join(sources, 'llama.cpp.info.json'), 'utf8')) as { tag: string };
  const built = JSON.parse(readFileSync(join(libraries, '_nlcBuildMetadata.json'), 'utf8')) as {
    buildOptions: { llamaCpp: { release: string } };
  };
  const { release } = built.buildOptions.llamaCpp;
  if (release !== tag) return `the sources are ${tag}, the libraries ${release}`;
  return { bundle, libraries, version: tag };
}

/** Undefined: it is there. */
async function build(
  { bundle, libraries, version }: ShippedParts,
  folder: string,
  say: (line: string) => void,
): Promise<string | undefined> {
  const source = join(folder, 'source');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const steps: readonly (readonly [string, readonly string[]])[] = [
    ['git', ['-c', 'advice.detachedHead=false', 'clone', '--quiet', bundle, source]],
    [
      'cmake',
      [
        '-S',
        source,
        '-B',
        join(folder, 'build'),
        '-DCMAKE_BUILD_TYPE=None',
        `-DLLAMA_LIBRARIES=${libraries}`,
        `-DLLAMA_VERSION_BASE=${version.replace(/^v/, '')}`,
      ],
    ],
    ['cmake', ['--build', join(folder, 'build'), '--target', 'llama-server', '--parallel', '2']],
  ];
  for (const [program, args] of steps) {
    if (program === 'cmake' && args[0] === '-S') {
      cpSync(fileURLToPath(new URL('llama-server.cmake', import.meta.url)), join(source, 'CMakeLists.txt'));
    }
    const code = await run(program, args, say);
    if (code !== 0) return `\`${program} ${args.slice(0, 2).join(' ')} …\` ended with ${code}`;
  }
  return undefined;
}

/** Passes each line of its output on. Resolves with the exit code; -1 where it could not be started or was ended. */
async function run(program: string, args: readonly string[], say: (line: string) => void): Promise<number> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      for (const line of text.split('\n')) if (line.trim() !== '') say(line.trimEnd());
    });
  }
  child.on('error', (error) => say(error.message));
  const [code] = (await once(child, 'close').catch(() => [null])) as [number | null];
  return code ?? -1;
}

function inPath(program: string, env: Readonly<Record<string, string | undefined>>): string | undefined {
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, program)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
