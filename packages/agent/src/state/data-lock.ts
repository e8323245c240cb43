/** One agent a folder: two with one key would take each other's links, and each declare over the other. */
import { ConfigError } from '@subcloud/kit/config';
import { type FolderLock, lockFolder } from '@subcloud/kit/folder-lock';

/** Throws ConfigError where another agent runs from the folder. */
export function lockDataDir(dataDir: string): Promise<FolderLock> {
  return lockFolder(dataDir, 'agent.lock', (pid) => {
    const holder = pid === undefined ? 'another agent' : `the agent of process ${pid}`;
    return new ConfigError([
      `--data-dir: ${dataDir} is in use by ${holder}. Stop it, or give this one its own folder.`,
    ]);
  });
}
