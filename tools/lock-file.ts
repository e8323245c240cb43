/** The part of npm's lock file that is read here; keys are paths such as `node_modules/a/node_modules/b`. */
export interface LockFile {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

export interface LockedPackage {
  readonly version?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/**
 * Packages that another one asks for and the lock file lacks, each as a sentence. npm leaves an optional package out
 * without a word when the registry does not serve it yet (new releases appear one platform at a time), and the next
 * `npm ci` refuses the lock file.
 */
export function missingPackages(lock: LockFile): readonly string[] {
  return Object.entries(lock.packages).flatMap(([owner, locked]) =>
    Object.entries({ ...locked.dependencies, ...locked.optionalDependencies })
      .filter(([name]) => !isLocked(lock, owner, name))
      .map(([name, range]) => `${owner || 'the root'} asks for ${name} ${range}, which the lock file lacks`),
  );
}

/** Looks where Node would: beside the package, then in each folder above. */
function isLocked(lock: LockFile, owner: string, name: string): boolean {
  for (let folder = owner; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/')))) {
    if (lock.packages[folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`]) return true;
    if (folder === '') return false;
  }
}
