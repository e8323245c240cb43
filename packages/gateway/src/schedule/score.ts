import type { NodeRow } from '@subcloud/contract/table';
import type { NodeLink } from '../link/node-link.ts';

/**
 * Which of two nodes is the less loaded: negative for the first. By the share of its concurrency where both say how much
 * they take at once, else by requests under way.
 */
export function compareLoad(
  first: { readonly node: NodeRow; readonly link: NodeLink },
  second: { readonly node: NodeRow; readonly link: NodeLink },
): number {
  const { concurrency: most } = first.node;
  const { concurrency: otherMost } = second.node;
  if (most === null || otherMost === null) return first.link.inFlight - second.link.inFlight;
  return first.link.inFlight / most - second.link.inFlight / otherMost;
}
