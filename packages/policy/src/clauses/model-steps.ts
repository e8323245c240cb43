/** One clause about a model, and how it narrows the models of a node. */
import type { ModelFact } from '../fact-values.ts';
import type { IndexedFacts } from '../facts.ts';
import type { ModelsClause } from '../manifest.ts';
import { quantizationAtLeast } from '../scales.ts';
import type { ClauseName, Outcome } from './clause.ts';

export interface ModelStep {
  readonly name: ClauseName;
  readonly wanted: string;
  readonly judge: (model: ModelFact, facts: IndexedFacts, now: number) => Outcome;
  readonly show: (model: ModelFact, outcome: Outcome) => string;
  /** What would make one of the models, or a further one, pass. */
  readonly fix: (models: readonly ModelFact[], facts: IndexedFacts, now: number) => string;
}

/** The models that pass; the same list where all do. An id of which any report fails is out with all its reports. */
export function narrow(
  step: ModelStep,
  models: readonly ModelFact[],
  facts: IndexedFacts,
  now: number,
): readonly ModelFact[] {
  let kept: ModelFact[] | undefined;
  const refused: string[] = [];
  for (const [at, model] of models.entries()) {
    if (step.judge(model, facts, now) === 'pass') kept?.push(model);
    else {
      kept ??= models.slice(0, at);
      refused.push(model.id);
    }
  }
  if (kept === undefined) return models;
  // A handful is searched faster than a set is made.
  const out = refused.length > FEW ? new Set(refused) : undefined;
  const isOut = out === undefined ? (id: string) => refused.includes(id) : (id: string) => out.has(id);
  return kept.some(({ id }) => isOut(id)) ? kept.filter(({ id }) => !isOut(id)) : kept;
}
const FEW = 8;

export function optionalSteps({ quantization, modalities }: ModelsClause): readonly ModelStep[] {
  const steps: ModelStep[] = [];
  if (quantization !== undefined) steps.push(quantizationStep(quantization.min));
  if (modalities !== undefined) steps.push(modalitiesStep(modalities));
  return steps;
}

function quantizationStep(min: NonNullable<ModelsClause['quantization']>['min']): ModelStep {
  return {
    name: 'models.quantization',
    wanted: `${min} or finer`,
    judge: ({ quantization }) => {
      if (quantization === null) return 'unknown';
      return quantizationAtLeast(quantization, min) ? 'pass' : 'fail';
    },
    show: ({ id, quantization }) => `${id} ${quantization ?? 'unknown'}`,
    fix: () => `serve an allowed model with quantisation ${min} or finer`,
  };
}

function modalitiesStep({ all = [], any }: NonNullable<ModelsClause['modalities']>): ModelStep {
  const wanted = [all.join(' and '), any?.join(' or ') ?? ''].filter((part) => part !== '').join(', and ');
  return {
    name: 'models.modalities',
    wanted,
    judge: ({ modalities }) => {
      if (modalities === null) return 'unknown';
      const takes = (modality: (typeof all)[number]): boolean => modalities.includes(modality);
      return all.every(takes) && (any === undefined || any.some(takes)) ? 'pass' : 'fail';
    },
    show: ({ id, modalities }) => `${id} ${modalities === null ? 'unknown' : modalities.join('+') || 'nothing'}`,
    fix: () => `serve a model that passes the clauses before and takes ${wanted}`,
  };
}

const MAX_LISTED = 8;
/** A few of many, in words. */
export function listed(names: readonly string[]): string {
  const shown = names.slice(0, MAX_LISTED).join(', ');
  return names.length > MAX_LISTED ? `${shown} and ${names.length - MAX_LISTED} more` : shown;
}
