/**
 * What a peer that said no gave as its reason. Its words come from a party that may have proved nothing, so they are
 * typed, cut short, and used for nothing but the operator's log.
 */
export interface PeerRefusal {
  readonly code: string;
  /** `403 policy.node_refused The network does not …`. */
  readonly text: string;
}

export function peerRefusal(status: number, body: unknown): PeerRefusal {
  const error = field(body, 'error');
  const code = word(field(error, 'code'), 64);
  return { code, text: `${status} ${code} ${word(field(error, 'message'), 256)}`.trim() };
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function word(value: unknown, maxChars: number): string {
  return typeof value === 'string' ? value.slice(0, maxChars) : '';
}
