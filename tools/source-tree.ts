import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** A text file of the repository; `path` is relative to its root, with `/` on every system. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

export const repositoryRoot: string = fileURLToPath(new URL('..', import.meta.url));

const binaryExtensions = new Set(['.gguf', '.png', '.jpg', '.ico', '.woff2', '.mmdb', '.gz', '.zip']);

/**
 * Every file that is in the repository or would be with the next `git add`: checking only what is committed would
 * find a fault one commit too late.
 */
export function repositoryPaths(): readonly string[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: repositoryRoot,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  const paths = new Set(listed.split('\0').filter((name) => name !== ''));
  // The index still lists what was deleted in the work tree.
  return [...paths].filter((name) => statSync(absolute(name), { throwIfNoEntry: false })?.isFile() === true).toSorted();
}

/** Text files of the repository that the predicate chooses. Reads each of them once. */
export function readSources(chosen: (path: string) => boolean): readonly SourceFile[] {
  return repositoryPaths()
    .filter((name) => !binaryExtensions.has(path.extname(name)) && chosen(name))
    .map((name) => ({ path: name, text: readFileSync(absolute(name), 'utf8') }));
}

/** All TypeScript of the repository: packages, tools, bench, tests and configuration. */
export function readTypeScript(): readonly SourceFile[] {
  return readSources((name) => name.endsWith('.ts'));
}

/** Whether a path is test code, which no user runs: it may use real time, real sockets and the testkit. */
export function isTestCode(name: string): boolean {
  return name.endsWith('.test.ts') || name.startsWith('tests/') || name.startsWith('packages/testkit/');
}

function absolute(name: string): string {
  return path.join(repositoryRoot, name);
}
