/**
 * What an enrolled agent must not forget: who it is, which network it trusts, and the highest node document it has seen.
 * Written whole and durably before anything is acknowledged. A file that cannot be read stops the agent: to go on
 * without it would be to accept a rolled-back document.
 */
import { join } from 'node:path';
import { signedDocument, trustChain } from '@subcloud/contract/documents';
import { principalId } from '@subcloud/contract/vocabulary';
import { readFileIfPresent, writeFileDurably } from '@subcloud/kit/files';
import * as z from 'zod';

const nodeStateSchema = z.strictObject({
  version: z.literal(1),
  networkId: z.string(),
  /** SHA-256 of the network's key, hex: the root of all trust of this agent. */
  fingerprint: z.string().regex(/^[0-9a-f]{64}$/),
  nodeId: z.string(),
  operator: principalId,
  chain: trustChain,
  /** The highest position ever accepted; outlives the document. */
  epoch: z.int().nonnegative(),
  serial: z.int().nonnegative(),
  document: signedDocument.nullable(),
  /** Of the last declaration that was signed. */
  declarationSerial: z.int().nonnegative(),
});
export type NodeState = z.infer<typeof nodeStateSchema>;

export interface NodeStateStore {
  readonly current: NodeState;
  /** Durable when it returns. Throws on I/O errors, and then nothing has changed. */
  save(changes: Partial<NodeState>): void;
}

/** Undefined where the agent has never enrolled. Throws on a file that is broken. */
export function loadNodeState(dataDir: string): NodeState | undefined {
  const path = statePath(dataDir);
  const text = readFileIfPresent(path);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = nodeStateSchema.safeParse(value);
  if (!parsed.success) {
    throw new Error(`${path} is damaged; restore it, or remove the whole folder and enrol this machine anew`);
  }
  return parsed.data;
}

export function createNodeState(dataDir: string, initial: NodeState): NodeStateStore {
  let current = initial;
  return {
    get current() {
      return current;
    },
    save(changes) {
      const next = { ...current, ...changes };
      writeFileDurably(statePath(dataDir), JSON.stringify(next));
      current = next;
    },
  };
}

function statePath(dataDir: string): string {
  return join(dataDir, 'node.json');
}
