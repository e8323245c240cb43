import * as z from 'zod';
import { CliError } from '../cli-error.ts';

/** A package.json and its lock file, as text. */
export interface PackageFiles {
  readonly manifest: string;
  readonly lock: string;
}

const scope = '@node-llama-cpp/';

/** What the committed files name: the platform that the project is developed on. */
const committedBinding = `${scope}linux-x64`;

/** The processor-only build of llama.cpp for each platform, except on Apple's own chips, for which there is one build. */
const bindings: Readonly<Record<string, string>> = {
  'linux-x64': committedBinding,
  'linux-arm64': `${scope}linux-arm64`,
  'darwin-arm64': `${scope}mac-arm64-metal`,
  'darwin-x64': `${scope}mac-x64`,
};

const manifestSchema = z.looseObject({ dependencies: z.record(z.string(), z.string()) });
const lockEntrySchema = z.looseObject({
  dependencies: z.record(z.string(), z.string()).optional(),
  optional: z.boolean().optional(),
});
const lockSchema = z.looseObject({ packages: z.record(z.string(), lockEntrySchema) });

/**
 * The same files with the platform's own binary as a firm dependency in place of the committed one.
 *
 * The binaries are optional dependencies, 725 MB of them fit one machine, and npm cannot be told to take some optional ones: so all are
 * left out (`--omit=optional`), and the one that is wanted is made firm. The versions and hashes stay those of the lock file.
 *
 * @throws CliError `config.demo_platform`
 */
export function adaptToPlatform(files: PackageFiles, platform: string): PackageFiles {
  const binding = bindings[platform];
  if (binding === undefined) {
    throw new CliError({
      code: 'config.demo_platform',
      message: `There is no demo engine for ${platform}.`,
      next: 'Join a machine with an engine of its own (Ollama, vLLM, llama.cpp).',
    });
  }
  if (binding === committedBinding) return files;
  const manifest = manifestSchema.parse(JSON.parse(files.manifest));
  const lock = lockSchema.parse(JSON.parse(files.lock));
  const root = lock.packages[''];
  if (root === undefined) throw new Error('the lock file of the demo engine has no root package');
  const dependencies = exchange(manifest.dependencies, binding);
  const packages = Object.fromEntries(
    Object.entries(lock.packages).map(([path, entry]) => {
      if (path === `node_modules/${committedBinding}`) return [path, { ...entry, optional: true }];
      if (path !== `node_modules/${binding}`) return [path, entry];
      const { optional: _, ...firm } = entry;
      return [path, firm];
    }),
  );
  return {
    manifest: JSON.stringify({ ...manifest, dependencies }),
    lock: JSON.stringify({ ...lock, packages: { ...packages, '': { ...root, dependencies } } }),
  };
}

function exchange(dependencies: Readonly<Record<string, string>>, binding: string): Record<string, string> {
  const { [committedBinding]: version, ...others } = dependencies;
  if (version === undefined) throw new Error(`the demo engine does not depend on ${committedBinding}`);
  return { ...others, [binding]: version };
}

/** How many packages npm installs from this lock file without the optional ones. */
export function countInstalled(lock: string): number {
  const { packages } = lockSchema.parse(JSON.parse(lock));
  return Object.entries(packages).filter(([path, entry]) => path !== '' && entry.optional !== true).length;
}
