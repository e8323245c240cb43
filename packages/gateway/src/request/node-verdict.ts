/** What an answer's status says before its first byte: whose fault it is, and so whether another node may do better. */
export type NodeVerdict =
  /** Relay it. */
  | 'answer'
  /** The agent's own lock refused the pool or model. */
  | 'lock'
  /** The caller's own fault: the engine's words pass as they are, and no other node is asked. */
  | 'pass'
  /** The engine cannot now; if no other node can, its words pass. */
  | 'retry'
  /** The node is set up wrongly; its words would mislead the caller. */
  | 'fault';

export function judgeStatus(status: number): NodeVerdict {
  if (status >= 200 && status < 300) return 'answer';
  if (status === 421) return 'lock';
  // The node's credential for its engine, not the caller's for us.
  if (status === 401 || status === 403 || status === 407) return 'fault';
  // The table says that the node serves this model; an engine that does not know it is behind.
  if (status === 404 || status === 408 || status === 429) return 'retry';
  if (status >= 400 && status < 500) return 'pass';
  return status >= 500 && status < 600 ? 'retry' : 'fault';
}

/** Whether a 421 only shows that agent and gateway heard of a change at different times. `document` is `epoch.serial.tableVersion`. */
export function isRace(document: unknown, tableVersion: number): boolean {
  const version = typeof document === 'string' ? /^\d{1,16}\.\d{1,16}\.(\d{1,16})$/.exec(document)?.[1] : undefined;
  return version !== undefined && Number(version) > tableVersion;
}
