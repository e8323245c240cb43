import { AppError } from '@subcloud/contract/errors';
import type { CredentialRow, PoolRow } from '@subcloud/contract/table';
import type { PickView } from '../schedule/filter.ts';
import { type CountedReasons, countReasons } from '../schedule/count-reasons.ts';
import type { RoutingTable } from '../table/routing-table.ts';
import { seesPolicy } from './authorise.ts';

/** 404 for a model that the pool does not know, else 503 with every considered node counted by its reason. */
export function noEligibleNode(
  table: RoutingTable,
  pool: PoolRow,
  credential: CredentialRow,
  model: string,
  view: PickView,
): AppError {
  const index = table.poolIndexes.get(pool.name);
  if (index?.byModel.has(model) !== true && !mayKnow(pool, model, index !== undefined)) {
    return new AppError('routing.unknown_model', { param: 'model' });
  }
  const counted = countReasons(pool, index, model, view);
  const { considered, reasons } = counted;
  const start = `0 of ${considered} nodes eligible`;
  if (!seesPolicy(credential, pool)) {
    return new AppError('routing.no_eligible_node', { message: start, details: { considered } });
  }
  return new AppError('routing.no_eligible_node', {
    message: considered === 0 ? start : `${start}: ${wordsOf(counted)}`,
    details: { considered, reasons },
  });
}

/** Where control does not say what the pool knows, a pool without members may know any model. */
function mayKnow(pool: PoolRow, model: string, hasMembers: boolean): boolean {
  return pool.models === undefined ? !hasMembers : pool.models.includes(model);
}

function wordsOf({ reasons }: CountedReasons): string {
  return Object.entries(reasons)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(', ');
}
