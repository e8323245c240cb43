import type { MemberRow, NodeRow } from '@subcloud/contract/table';
import type { NodeLink } from '../link/node-link.ts';
import type { ModelStats, Standing } from './node-stats.ts';

/** A member that may serve this request now, with what is known of it: looked up once a pick. */
export interface Candidate {
  readonly member: MemberRow;
  readonly node: NodeRow;
  readonly link: NodeLink;
  readonly model: ModelStats;
  readonly standing: Standing;
}
