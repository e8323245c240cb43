import { isBuiltin } from 'node:module';
import path from 'node:path';
import {
  type BannedPackage,
  bannedPackages,
  type PackageRule,
  packageRules,
  testOnlyPackages,
} from './package-rules.ts';
import { isTestCode, type SourceFile } from './source-tree.ts';
import { importedModules } from './syntax.ts';

/** What the check needs of a package's manifest. */
export interface PackageManifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const workspaceScope = '@subcloud/';

/**
 * Every import that breaks a rule of package-rules.ts, as `path:line specifier: reason`. Manifests are by package name;
 * a package without one declares nothing.
 */
export function forbiddenImports(
  files: readonly SourceFile[],
  manifests: Readonly<Record<string, PackageManifest>>,
): readonly string[] {
  return files.flatMap((file) =>
    importedModules(file).flatMap(({ specifier, line }) => {
      const fault =
        specifier === null
          ? 'a computed module name: no check and no reader can say what it loads'
          : importFault(file.path, specifier, manifests);
      return fault === null ? [] : [`${file.path}:${line} ${specifier ?? '(computed)'}: ${fault}`];
    }),
  );
}

/** Every banned package that a manifest asks for, as `where name: reason`. */
export function bannedDependencies(where: string, manifest: PackageManifest): readonly string[] {
  const names = [...Object.keys(manifest.dependencies ?? {}), ...Object.keys(manifest.optionalDependencies ?? {})];
  return names.flatMap((name) => {
    const ban = banOf(name, where);
    return ban === null ? [] : [`${where} ${name}: ${ban.reason}`];
  });
}

function importFault(
  filePath: string,
  specifier: string,
  manifests: Readonly<Record<string, PackageManifest>>,
): string | null {
  const owner = owningPackage(filePath);
  if (specifier.startsWith('.')) return relativeFault(filePath, specifier, owner);
  if (specifier.startsWith('/') || specifier.startsWith('file:')) return 'an absolute path exists on one machine only';
  const name = packageName(specifier);
  const ban = banOf(name, filePath);
  if (ban !== null) return ban.reason;
  if (owner === null) return null;
  const rule = packageRules[owner];
  if (rule === undefined) return `packages/${owner} is not in tools/package-rules.ts: adding a package is a decision`;
  if (isTestCode(filePath) && testOnlyPackages.includes(name)) return null;
  if (testOnlyPackages.includes(name)) return 'it is there for tests, and users would have to install it';
  if (isBuiltin(specifier)) return builtinFault(filePath, specifier, rule);
  if (name === `${workspaceScope}${owner}`) return 'inside a package, imports are relative';
  if (name.startsWith(workspaceScope)) {
    const edge = edgeFault(specifier.slice(workspaceScope.length), rule);
    if (edge !== null) return edge;
  }
  return isDeclared(name, manifests[owner]) || isTestCode(filePath)
    ? null
    : `packages/${owner}/package.json does not declare it: it works only as long as another package brings it`;
}

function relativeFault(filePath: string, specifier: string, owner: string | null): string | null {
  if (!/\.(ts|json)$/.test(specifier))
    return 'a relative import names the file with its ending: Node looks for no other';
  if (owner === null) return null;
  const target = path.posix.join(path.posix.dirname(filePath), specifier);
  return target.startsWith(`packages/${owner}/`)
    ? null
    : `it leaves its package: other packages are named as ${workspaceScope}<package>/<file>, so that the edge is seen`;
}

function builtinFault(filePath: string, specifier: string, rule: PackageRule): string | null {
  if (!specifier.startsWith('node:'))
    return "Node's own modules are written with node:, so that no package can take the name";
  return rule.noNodeModules === undefined || isTestCode(filePath) ? null : rule.noNodeModules;
}

function edgeFault(target: string, rule: PackageRule): string | null {
  const [packagePart = '', ...fileParts] = target.split('/');
  const filePart = fileParts.join('/');
  if (!rule.mayImport.includes(packagePart)) return rule.reason;
  if (filePart === '') return 'a package has no main file: name the file that is needed';
  if (/\.(ts|js)$/.test(filePart)) return 'across packages the ending is left out: the exports map adds it';
  const only = rule.onlyFiles?.[packagePart];
  return only === undefined || only.includes(filePart) ? null : rule.reason;
}

function owningPackage(filePath: string): string | null {
  return /^packages\/([^/]+)\//.exec(filePath)?.[1] ?? null;
}

function packageName(specifier: string): string {
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? specifier);
}

function isDeclared(name: string, manifest: PackageManifest | undefined): boolean {
  return manifest?.dependencies?.[name] !== undefined || manifest?.optionalDependencies?.[name] !== undefined;
}

function banOf(name: string, filePath: string): BannedPackage | null {
  const matches = (ban: BannedPackage): boolean =>
    filePath.startsWith(ban.within ?? '') &&
    (ban.name.endsWith('*') ? name.startsWith(ban.name.slice(0, -1)) : name === ban.name);
  return bannedPackages.find(matches) ?? null;
}
