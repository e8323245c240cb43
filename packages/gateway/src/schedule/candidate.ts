import type { MemberRow, NodeRow } from '@subcloud/contract/table';
import type { NodeLink } from '../link/node-link.ts';

/** A member that may serve this request now. */
export interface Candidate {
  readonly member: MemberRow;
  readonly node: NodeRow;
  readonly link: NodeLink;
}
