/** What a node's declaration says, as claims of its own. */
import type { NodeDeclaration } from '@subcloud/contract/documents';
import type { ClaimDraft } from './claims.ts';

/** Facts that a declaration may leave unsaid: what an earlier one said of them goes. */
const OPTIONAL = ['location', 'hardware'] as const;

export interface Declared {
  readonly drafts: readonly ClaimDraft[];
  /** Facts of which the node says nothing any more. */
  readonly unsaid: readonly (typeof OPTIONAL)[number][];
}

/** `expiresAt`: ms since the epoch, control's clock. */
export function declaredClaims(body: NodeDeclaration, expiresAt: number): Declared {
  const declared = { source: 'declared', issuer: `node:${body.nodeId}`, expiresAt } as const;
  const { location, hardware } = body;
  const drafts: ClaimDraft[] = [
    { fact: 'models', value: [...body.models].sort((a, b) => (a.id < b.id ? -1 : 1)), ...declared },
    { fact: 'labels', value: body.labels, ...declared },
  ];
  if (location !== null) {
    const { country, subdivision } = location;
    const place = { country, ...(subdivision === undefined ? {} : { subdivision }) };
    drafts.push({ fact: 'location', value: { candidates: [place], evidence: 'agent.yaml' }, ...declared });
  }
  if (hardware !== null) drafts.push({ fact: 'hardware', value: hardware, ...declared });
  return { drafts, unsaid: OPTIONAL.filter((fact) => body[fact] === null) };
}
