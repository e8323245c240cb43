/** Hardware, trust and stake, each asked of a value that is known. */
import type { FactValues, GpuFact } from '@subcloud/policy/facts';
import type { NodesClause } from '@subcloud/policy/manifest';

type GpuClause = NonNullable<NodesClause['hardware']>['gpu'];

/**
 * So many devices match that the count holds. What is not known of a device is tried both ways: yes if the count holds
 * whatever is true of it, no if it holds in no case.
 */
export function gpusHold(clause: GpuClause, gpus: readonly GpuFact[]): 'yes' | 'no' | 'unknown' {
  const { min = 1, max = Infinity } = clause.count ?? {};
  let counts = new Set([0]);
  for (const gpu of gpus) {
    const next = new Set<number>();
    for (const matches of possibleAnswers(clause, gpu)) for (const count of counts) next.add(count + (matches ? 1 : 0));
    counts = next;
  }
  const holds = [...counts].map((count) => count >= min && count <= max);
  if (holds.every(Boolean)) return 'yes';
  return holds.some(Boolean) ? 'unknown' : 'no';
}

function possibleAnswers(clause: GpuClause, gpu: GpuFact): readonly boolean[] {
  const parts: (boolean | null)[] = [];
  if (clause.model !== undefined) parts.push(gpu.model === null ? null : clause.model.includes(gpu.model));
  if (clause.vramGiB !== undefined) {
    const { min = 0, max = Infinity } = clause.vramGiB;
    parts.push(gpu.vramGiB === null ? null : gpu.vramGiB >= min && gpu.vramGiB <= max);
  }
  if (clause.confidential !== undefined) {
    parts.push(gpu.confidential === null ? null : gpu.confidential === clause.confidential);
  }
  if (parts.includes(false)) return [false];
  return parts.includes(null) ? [true, false] : [true];
}

export function trustOrder(level: FactValues['trustLevel']): number {
  return { unverified: 0, identified: 1, verified: 2, audited: 3 }[level];
}

/** Amounts of one unit are compared digit by digit; two units cannot be. */
export function stakeHolds(least: string, seen: string): 'yes' | 'no' | 'unknown' {
  const [wantedNumber = '', wantedUnit] = least.split(' ');
  const [seenNumber = '', seenUnit] = seen.split(' ');
  if (!/^\d+(\.\d+)? [A-Z]/.test(seen) || wantedUnit !== seenUnit) return 'unknown';
  const [wantedWhole = '', wantedRest = ''] = wantedNumber.split('.');
  const [seenWhole = '', seenRest = ''] = seenNumber.split('.');
  const width = Math.max(wantedWhole.length, seenWhole.length);
  const digits = Math.max(wantedRest.length, seenRest.length);
  const wanted = wantedWhole.padStart(width, '0') + wantedRest.padEnd(digits, '0');
  const has = seenWhole.padStart(width, '0') + seenRest.padEnd(digits, '0');
  return has >= wanted ? 'yes' : 'no';
}
