import type { SourceFile } from './source-tree.ts';
import { childNode, parseSource } from './syntax.ts';

/** The deployables, and which of the first files each may lack. */
const services = [
  { name: 'control', optional: [] },
  { name: 'gateway', optional: [] },
  // Routes are the engine's: the agent forwards them by an allow-list.
  { name: 'agent', optional: ['register.ts'] },
] as const;

const firstFiles = ['main.ts', 'config.ts', 'run.ts', 'register.ts'] as const;
export const maxMainLines = 25;

/** First files that a service lacks, and a main.ts that does more than start it, each as a sentence. */
export function firstFileFaults(files: readonly SourceFile[]): readonly string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  return services.flatMap(({ name, optional }) => {
    const missing = firstFiles
      .filter((first) => !optional.some((may) => may === first) && !byPath.has(`packages/${name}/src/${first}`))
      .map((first) => `packages/${name}/src/${first} is missing: every service opens with the same files`);
    const mainLines = byPath.get(`packages/${name}/src/main.ts`)?.text.trimEnd().split('\n').length ?? 0;
    return mainLines > maxMainLines
      ? [...missing, `packages/${name}/src/main.ts has ${mainLines} lines: over ${maxMainLines}, it belongs in run.ts`]
      : missing;
  });
}

/** Files in packages that only pass on what others export, or that are named like it, each as a sentence. */
export function barrelFaults(files: readonly SourceFile[]): readonly string[] {
  return files
    .filter((file) => file.path.startsWith('packages/') && (isIndex(file) || onlyPassesOn(file)))
    .map((file) => `${file.path} is a barrel: it hides which file is needed, and loads them all`);
}

/** Names that are not kebab-case: on a file system without case, two spellings are one file. */
export function nameFaults(paths: readonly string[]): readonly string[] {
  return paths
    .filter((path) => /^(packages|tools|tests|bench)\/.*\.(ts|sql|yaml)$/.test(path))
    .filter(
      (path) =>
        !/^[a-z0-9]+(-[a-z0-9]+)*(\.(test|config))?\.(ts|sql|yaml)$/.test(path.slice(path.lastIndexOf('/') + 1)),
    )
    .map((path) => `${path} is not kebab-case`);
}

function isIndex(file: SourceFile): boolean {
  return /\/index\.[cm]?[jt]sx?$/.test(file.path);
}

/**
 * A few names of another package, passed on one by one, are a doorway on purpose; files of the own package, or whole
 * files, are a barrel.
 */
function onlyPassesOn(file: SourceFile): boolean {
  const body: unknown = parseSource(file)['body'];
  if (!Array.isArray(body) || body.length === 0) return false;
  const passedOn = body.map((statement) => {
    const source = statement.type.startsWith('Export') ? childNode(statement, 'source')?.['value'] : null;
    const isWhole = statement.type === 'ExportAllDeclaration';
    return typeof source === 'string' ? { isOwnOrWhole: isWhole || source.startsWith('.') } : null;
  });
  return passedOn.every((each) => each !== null) && passedOn.some((each) => each?.isOwnOrWhole === true);
}
