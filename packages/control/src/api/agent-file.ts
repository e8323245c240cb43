/**
 * `/agent.mjs`: the agent as one file, which whoever composes the network has made. Read once for each change of the
 * file, so that a release that replaces it is handed out whole.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { AppError } from '@subcloud/contract/errors';

export interface AgentFileContent {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Hex. */
  readonly sha256: string;
}

export const AGENT_FILE_PATH = '/agent.mjs';
/** What the bundler makes is a twentieth of this; a larger file is some other one. */
const MAX_FILE_BYTES = 33_554_432;

/** Reads the file; throws client.not_found where the network has none. */
export function agentFile(path: string | undefined): () => Promise<AgentFileContent> {
  let content: AgentFileContent | undefined;
  let readAs = '';
  return async () => {
    const found = path === undefined ? undefined : await stat(path).catch(() => undefined);
    if (path === undefined || found === undefined || found.size > MAX_FILE_BYTES)
      throw new AppError('client.not_found', {
        message: 'This network hands out no agent file; join from a clone of the project.',
      });
    const version = `${found.ino} ${found.size} ${found.mtimeMs}`;
    if (content === undefined || readAs !== version) {
      const bytes = new Uint8Array(await readFile(path));
      content = { bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
      readAs = version;
    }
    return content;
  };
}

export function agentFileHeaders({ sha256 }: AgentFileContent): Record<string, string> {
  return {
    'content-type': 'text/javascript; charset=utf-8',
    etag: `"${sha256}"`,
    'cache-control': 'no-cache',
    'x-content-type-options': 'nosniff',
    // It is to be downloaded and run by Node: no page may be made of it.
    'content-security-policy': 'sandbox',
  };
}
