/** What is pasted on a machine that joins: the agent's one file, checked by its hash, and run. */
import { pinText } from './find-network.ts';

export interface JoinLines {
  readonly url: string;
  readonly joinToken: string;
  /**
   * SHA-256 of the TLS key that is trusted without an authority, hex; null where there is none to pin; undefined where it
   * is not known here: then the file is checked by its hash and the network by the token alone.
   */
  readonly tlsKeySha256: string | null | undefined;
  /** SHA-256 of `/agent.mjs`, hex; null where the network hands out none. */
  readonly agentSha256: string | null;
}

/** Two lines for a shell: the first works with any Node from 22 on, the second in a clone of this project. */
export function joinLines({ url, joinToken, tlsKeySha256, agentSha256 }: JoinLines): readonly string[] {
  const clone = `npm run subcloud -- agent --join ${url} --token ${joinToken}`;
  if (agentSha256 === null) return [clone];
  // The pinned key says more than the authority that is not asked: curl checks it with -k as well.
  const unpinned = tlsKeySha256 === undefined && url.startsWith('https:') ? ' -k' : '';
  const trust = typeof tlsKeySha256 === 'string' ? ` -k --pinnedpubkey '${pinText(tlsKeySha256)}'` : unpinned;
  const check = `echo '${agentSha256}  agent.mjs' | sha256sum -c -`;
  return [
    `curl -fsS${trust} -o agent.mjs ${url}/agent.mjs && ${check} && node agent.mjs --join ${url} --token ${joinToken}`,
    clone,
  ];
}
