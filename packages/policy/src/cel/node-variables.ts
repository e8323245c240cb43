/**
 * The variables of `nodes.where`: type, fact, and the least source that counts. `where` has no `source`, so a variable
 * yields only claims of its clause's default source or a stronger one, and an attested one counts from the network's
 * attesters.
 */
import type { ClaimSource } from '../facts.ts';
import type { FactName, FactValues, GpuFact, Place } from '../fact-values.ts';
import { gpuNameOf } from '../gpu-names.ts';
import { parseAmount } from '../units.ts';
import type { CelTable, CelType, CelValue } from './cel-table.ts';

/** Of one fact; undefined where the value does not say. */
interface FactVariable<Fact extends FactName> {
  readonly type: CelType;
  readonly about: string;
  readonly fact: Fact;
  readonly source: ClaimSource;
  readonly read: (value: FactValues[Fact]) => CelValue | undefined;
}
/** Comes from enrolment, so it needs no claim. */
interface EnrolmentVariable {
  readonly type: 'string';
  readonly about: string;
  readonly fact: null;
  readonly of: 'nodeId' | 'operator';
}
export type NodeVariable = { [Fact in FactName]: FactVariable<Fact> }[FactName] | EnrolmentVariable;

export const NODE_VARIABLES = {
  'node.id': { type: 'string', about: "the node's id", fact: null, of: 'nodeId' },
  'node.operator': { type: 'string', about: 'who enrolled the node, as user:ID or org:ID', fact: null, of: 'operator' },
  'node.labels': {
    type: 'map<string, string>',
    about: 'labels of agent.yaml; a key that is not there makes the expression unknown, `has` asks for it',
    fact: 'labels',
    source: 'declared',
    read: (labels) => labels,
  },
  'node.location.country': {
    type: 'string',
    about: 'where the machine is, ISO 3166-1; unknown while the evidence names several',
    fact: 'location',
    source: 'measured',
    read: ({ candidates }) => onlyOne(candidates.map(({ country }) => country)),
  },
  'node.location.subdivision': {
    type: 'string',
    about: 'where the machine is, ISO 3166-2, where that is known',
    fact: 'location',
    source: 'measured',
    read: ({ candidates }) => onlyOne(candidates.map(({ subdivision }) => subdivision)),
  },
  'node.operatorSeat.country': seat('legal seat of the operator, ISO 3166-1', ({ country }) => country),
  'node.operatorSeat.subdivision': seat('legal seat of the operator, ISO 3166-2', ({ subdivision }) => subdivision),
  'node.models': {
    type: 'list<string>',
    about: 'ids of the models that the engines report',
    fact: 'models',
    source: 'declared',
    read: (models) => models.map(({ id }) => id),
  },
  'node.gpu.count': gpu('int', 'number of GPUs', (gpus) => BigInt(gpus.length)),
  'node.gpu.models': gpu('list<string>', 'name of each GPU, of the closed list', (gpus) =>
    eachKnown(gpus.map(({ model, driverName }) => model ?? gpuNameOf(driverName) ?? null)),
  ),
  'node.gpu.vramGiB': gpu('list<double>', 'memory of each GPU in GiB', (gpus) =>
    eachKnown(gpus.map(({ vramGiB }) => vramGiB)),
  ),
  'node.gpu.confidential': gpu('bool', 'every GPU computes confidentially; false without any GPU', (gpus) => {
    if (gpus.length === 0 || gpus.some(({ confidential }) => confidential === false)) return false;
    return gpus.every(({ confidential }) => confidential === true) ? true : undefined;
  }),
  'node.trust.level': {
    type: 'string',
    about: 'unverified, identified, verified or audited',
    fact: 'trustLevel',
    source: 'measured',
    read: (level) => level,
  },
  'node.trust.reputation': {
    type: 'double',
    about: '0 to 1, a lower confidence bound',
    fact: 'reputation',
    source: 'measured',
    read: (reputation) => reputation,
  },
  'node.trust.stake.amount': {
    type: 'double',
    about: 'stake, in the unit that node.trust.stake.unit names',
    fact: 'stake',
    source: 'measured',
    read: (stake) => (parseAmount(stake) === undefined ? undefined : Number(stake.split(' ')[0])),
  },
  'node.trust.stake.unit': {
    type: 'string',
    about: 'unit of the stake, for example CREDIT',
    fact: 'stake',
    source: 'measured',
    read: (stake) => parseAmount(stake)?.unit,
  },
  'node.uptime.d30': {
    type: 'double',
    about: 'share of the last 30 days in which the node was there, 0 to 1',
    fact: 'uptime30d',
    source: 'measured',
    read: (share) => share,
  },
} as const satisfies Readonly<Record<string, NodeVariable>> & CelTable;

function seat(about: string, read: (seat: Place) => string | undefined): FactVariable<'operatorSeat'> {
  return { type: 'string', about, fact: 'operatorSeat', source: 'attested', read };
}

function gpu(
  type: CelType,
  about: string,
  read: (gpus: readonly GpuFact[]) => CelValue | undefined,
): FactVariable<'hardware'> {
  return { type, about, fact: 'hardware', source: 'measured', read: ({ gpus }) => read(gpus) };
}

function onlyOne(values: readonly (string | undefined)[]): string | undefined {
  return values.every((value) => value === values[0]) ? values[0] : undefined;
}

function eachKnown<Value extends string | number>(values: readonly (Value | null)[]): readonly Value[] | undefined {
  const known = values.filter((value): value is Value => value !== null);
  return known.length === values.length ? known : undefined;
}
