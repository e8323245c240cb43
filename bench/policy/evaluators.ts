/**
 * The policy of bench/decide.ts as others would ask it: for each request and node, one CEL expression, or one JSON Logic
 * rule. Both read plain values of one object, so neither knows of sources, ages, or claims that disagree.
 */
import { createRequire } from 'node:module';
import { Environment } from '@marcbachmann/cel-js';
import type { Claim, NodeFacts } from '@subcloud/policy/facts';

/** The package has no types of its own. */
const jsonLogic = createRequire(import.meta.url)('json-logic-js') as { apply(rule: object, data: object): unknown };

const COUNTRIES = 'AT BE BG CH CY CZ DE DK EE ES FI FR GR HR IE IT LT LU LV MT NL PL PT RO SE SI SK'.split(' ');
const GPUS = ['H100', 'H200'];

export interface FlatNode {
  readonly country: string;
  readonly gpus: readonly { readonly model: string; readonly vramGiB: number }[];
  readonly labels: Readonly<Record<string, string>>;
  readonly models: readonly string[];
}

export function flatNode({ claims }: NodeFacts): FlatNode {
  const value = <Fact extends Claim['fact']>(fact: Fact, source: Claim['source']) =>
    claims.find((claim) => claim.fact === fact && claim.source === source)?.value as
      | Extract<Claim, { fact: Fact }>['value']
      | undefined;
  return {
    country: value('location', 'measured')?.candidates[0]?.country ?? '',
    gpus: (value('hardware', 'attested')?.gpus ?? []).map(({ model, vramGiB }) => ({
      model: model ?? '',
      vramGiB: vramGiB ?? 0,
    })),
    labels: value('labels', 'declared') ?? {},
    models: (value('models', 'declared') ?? []).map(({ id }) => id),
  };
}

const list = (texts: readonly string[]): string => `[${texts.map((text) => JSON.stringify(text)).join(', ')}]`;

export function celEvaluator(): (node: FlatNode) => boolean {
  const environment = new Environment({ unlistedVariablesAreDyn: true });
  const evaluate = environment.parse(
    `node.country in ${list(COUNTRIES)} && node.country != "HU" && ` +
      `node.gpus.exists(gpu, gpu.model in ${list(GPUS)} && gpu.vramGiB >= 79.0) && node.labels.tier == "gold" && ` +
      `node.models.exists(model, model == "lab/large" || model.startsWith("lab/"))`,
  );
  return (node) => evaluate({ node }) === true;
}

export function jsonLogicEvaluator(): (node: FlatNode) => boolean {
  const rule = {
    and: [
      { in: [{ var: 'country' }, COUNTRIES] },
      { '!=': [{ var: 'country' }, 'HU'] },
      { some: [{ var: 'gpus' }, { and: [{ in: [{ var: 'model' }, GPUS] }, { '>=': [{ var: 'vramGiB' }, 79] }] }] },
      { '==': [{ var: 'labels.tier' }, 'gold'] },
      {
        some: [
          { var: 'models' },
          { or: [{ '==': [{ var: '' }, 'lab/large'] }, { '==': [{ substr: [{ var: '' }, 0, 4] }, 'lab/'] }] },
        ],
      },
    ],
  };
  return (node) => jsonLogic.apply(rule, node) === true;
}
