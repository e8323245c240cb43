import type { SourceFile } from './source-tree.ts';

/** Where the checks run: what is true of this place only must not stand in a file. */
export interface Place {
  /** Hosts that this machine installs packages from. */
  readonly registryHosts: readonly string[];
}

/** Download addresses in lock files and in npm's configuration, each as a sentence. */
export function downloadAddresses(files: readonly SourceFile[]): readonly string[] {
  return files.flatMap((file) =>
    file.text
      .split('\n')
      .flatMap((line, index) =>
        isDownloadAddress(file.path, line)
          ? [
              `${file.path}:${index + 1} names where a package was downloaded from: another machine has another registry`,
            ]
          : [],
      ),
  );
}

/** Lines that name a folder of somebody's machine or a package registry, each as a sentence. */
export function placeMentions(files: readonly SourceFile[], place: Place): readonly string[] {
  return files.flatMap((file) =>
    file.text.split('\n').flatMap((line, index) => {
      const at = `${file.path}:${index + 1}`;
      if (machinePath.test(line)) return [`${at} names a folder that exists on one machine`];
      const host = place.registryHosts.find((name) => line.toLowerCase().includes(name.toLowerCase()));
      return host !== undefined || registryHost.test(line) ? [`${at} names a package registry`] : [];
    }),
  );
}

// Homes and working folders; not the system folders that every machine has, nor a part of a URL or longer path.
const machinePath = /(?<![\w.:/~$}-])\/(?:work|root|home|Users|workspace|mnt)\/[\w.-]/;
const registryHost =
  /\b(?:registry|npm|pypi|mirror|artifactory|nexus)\.[a-z0-9-]+\.(?:org|com|net|io|dev|internal|local)\b/i;

function isDownloadAddress(path: string, line: string): boolean {
  if (path.endsWith('.npmrc')) return /registry\s*=/.test(line) && !/omit-lockfile-registry-resolved/.test(line);
  return /"resolved"\s*:\s*"(?:https?|git|ssh)/.test(line) || /\b(?:tarball|resolution)\b.*https?:/.test(line);
}
