import { AppError } from '@subcloud/contract/errors';
import { isApiId } from '@subcloud/policy/internal-api';
import type { CredentialRow, MemberRow, PoolRow } from '@subcloud/contract/table';
import type { InputModality } from '@subcloud/policy/model-inputs';
import { type PickView, takes } from '../schedule/filter.ts';
import { type CountedReasons, countReasons } from '../schedule/count-reasons.ts';
import type { RoutingTable } from '../table/routing-table.ts';
import { seesPolicy } from './authorise.ts';

/**
 * 404 for a model that the pool does not know; 400 where its members that serve the model cannot read what is in the
 * request, so that no waiting helps; else 503 with every considered node counted by its reason.
 */
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
  if (view.inputs !== undefined && cannotRead(index?.byModel.get(model), view, view.inputs)) {
    return new AppError('client.unsupported_operation', {
      message: `No node that serves ${model} here is known to take ${view.inputs.join(' and ')} input.`,
      param: 'messages',
    });
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

function cannotRead(
  members: readonly MemberRow[] | undefined,
  { nodes, model }: PickView,
  inputs: readonly InputModality[],
): boolean {
  if (members === undefined || members.length === 0) return false;
  return !members.some(({ node }) => {
    const row = nodes.get(node);
    return row !== undefined && takes(row, model, inputs);
  });
}

/** Where control does not say what the pool knows, a pool without members may know any model. */
function mayKnow(pool: PoolRow, model: string, hasMembers: boolean): boolean {
  // What callers may ask for of an API stands in the manifest, and was asked for.
  if (isApiId(model)) return true;
  return pool.models === undefined ? !hasMembers : pool.models.includes(model);
}

function wordsOf({ reasons }: CountedReasons): string {
  return Object.entries(reasons)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(', ');
}
