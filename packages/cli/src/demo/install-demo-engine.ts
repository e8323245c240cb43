/**
 * Installs what the demo engine needs, on demand: its packages are too large for everybody's `npm ci` (115 MB), and wanted only where a
 * network starts without machines.
 *
 * Everything is installed into a folder beside its place and moved there when it is complete. So a killed install leaves nothing that a
 * later start could take for a finished one, and two starts at once do not disturb each other.
 */
import { createHash, randomUUID } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, systemClock } from '@subcloud/kit/clock';
import { isErrorCode } from '@subcloud/kit/postgres/error-code';
import { isAlive } from '@subcloud/kit/postgres/process-sight';
import { CliError } from '../cli-error.ts';
import { type NpmLimits, runNpmCi } from './npm-ci.ts';
import { adaptToPlatform, countInstalled } from './platform-packages.ts';

export interface EnsureDemoEngineOptions {
  /** The demo engine's folder, with its `package.json` and `package-lock.json`. */
  readonly folder: string;
  /** Told what goes on, and how much is done, in 0..1; `undefined` while that cannot be told. */
  readonly onProgress: (message: string, fraction: number | undefined) => void;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  /** Tests give these; otherwise this machine, its npm, and limits for slow networks. */
  readonly platform?: string;
  readonly npmArguments?: readonly string[];
  readonly limits?: NpmLimits;
}

const stampName = '.installed';
const unfinishedPrefix = '.install-';

/**
 * Makes sure that the engine in `folder` can be started. Does nothing when what the lock file asks for is there.
 *
 * @returns whether something was installed
 * @throws CliError whose code says why: `upstream.registry_unreachable`, `upstream.package_not_served`, `config.demo_platform`,
 * `config.disk_full`, `config.demo_folder`, `config.npm_missing`, `client.aborted`, `platform.demo_install`. The folder is as it was.
 */
export async function ensureDemoEngine(options: EnsureDemoEngineOptions): Promise<{ installed: boolean }> {
  const { folder, onProgress } = options;
  const platform = options.platform ?? `${process.platform}-${process.arch}`;
  const files = adaptToPlatform(await readPackageFiles(folder), platform);
  const stamp = createHash('sha256').update(platform).update(files.manifest).update(files.lock).digest('hex');
  if (await isInstalled(folder, stamp)) return { installed: false };

  const unfinished = join(folder, `${unfinishedPrefix}${process.pid}-${randomUUID()}`);
  try {
    await removeAbandoned(folder);
    await mkdir(unfinished);
    await writeFile(join(unfinished, 'package.json'), files.manifest);
    await writeFile(join(unfinished, 'package-lock.json'), files.lock);
    await copyFile(join(folder, '.npmrc'), join(unfinished, '.npmrc'));
    onProgress('Installing the demo engine (115 MB, only this time)', 0);
    await runNpmCi({
      folder: unfinished,
      expectedPackages: countInstalled(files.lock),
      onFraction: (fraction) => onProgress('Installing the demo engine', fraction),
      clock: options.clock ?? systemClock,
      signal: options.signal,
      extraArguments: options.npmArguments ?? [],
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    });
    await writeFile(join(unfinished, 'node_modules', stampName), stamp);
    await moveIntoPlace(folder, unfinished, stamp);
    onProgress('The demo engine is installed', 1);
    return { installed: true };
  } catch (error) {
    throw folderError(error, folder);
  } finally {
    await rm(unfinished, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }).catch(() => undefined);
  }
}

async function readPackageFiles(folder: string): Promise<{ manifest: string; lock: string }> {
  try {
    const [manifest, lock] = await Promise.all([
      readFile(join(folder, 'package.json'), 'utf8'),
      readFile(join(folder, 'package-lock.json'), 'utf8'),
    ]);
    return { manifest, lock };
  } catch (cause) {
    throw new CliError({
      code: 'config.demo_folder',
      message: `${folder} does not hold the demo engine.`,
      next: 'Restore that folder from the repository, or start with --no-demo.',
      cause,
    });
  }
}

async function isInstalled(folder: string, stamp: string): Promise<boolean> {
  return (await readFile(join(folder, 'node_modules', stampName), 'utf8').catch(() => '')) === stamp;
}

/** What starts that were killed have left. That of a living one is its own. */
async function removeAbandoned(folder: string): Promise<void> {
  for (const entry of await readdir(folder)) {
    const pid = new RegExp(`^\\${unfinishedPrefix}(\\d+)-`).exec(entry)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    await rm(join(folder, entry), { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }).catch(
      () => undefined,
    );
  }
}

/** A rename cannot replace a folder that is not empty, so an older install is moved aside first. */
async function moveIntoPlace(folder: string, unfinished: string, stamp: string): Promise<void> {
  const place = join(folder, 'node_modules');
  for (let attempt = 0; attempt < 3; attempt += 1) {
    // Another start was faster. What it has put there is as good as ours, and its engine may already run from it.
    if (await isInstalled(folder, stamp)) return;
    await rename(place, join(unfinished, `old-${attempt}`)).catch((error: unknown) => {
      if (!isErrorCode(error, 'ENOENT')) throw error;
    });
    try {
      return await rename(join(unfinished, 'node_modules'), place);
    } catch (error) {
      if (!isErrorCode(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    }
  }
  throw new Error(`${place} is written by somebody else`);
}

function folderError(error: unknown, folder: string): unknown {
  if (isErrorCode(error, 'EACCES', 'EPERM', 'EROFS')) {
    return new CliError({
      code: 'config.demo_folder',
      message: `The demo engine cannot be installed: ${folder} may not be written.`,
      next: 'Start once as the user who owns that folder, or start with --no-demo.',
      cause: error,
    });
  }
  if (isErrorCode(error, 'ENOSPC', 'EDQUOT')) {
    return new CliError({
      code: 'config.disk_full',
      message: 'The demo engine cannot be installed: the disk is full.',
      next: 'Make room for 200 MB, or start with --no-demo.',
      cause: error,
    });
  }
  return error;
}
