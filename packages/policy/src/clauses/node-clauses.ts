/** The clauses under `nodes`, but `where`. */
import { canonicalJson } from '../canonical-json.ts';
import { GPU_NAMES, gpuNameOf } from '../gpu-names.ts';
import type { GpuFact } from '../fact-values.ts';
import type { NodesClause } from '../manifest.ts';
import { type CompiledPlaces, compilePlaces } from '../places.ts';
import type { PlaceRegistry } from '../place-registry.ts';
import { trustAtLeast } from '../scales.ts';
import { parseAmount } from '../units.ts';
import type { NodeClause, Outcome } from './clause.ts';
import { type CompileContext, factClause } from './fact-clause.ts';

export function operatorsClause(operators: readonly string[]): NodeClause {
  const allowed = new Set(operators);
  const wanted = `one of ${operators.join(', ')}`;
  return {
    name: 'nodes.operators',
    asks: canonicalJson(['nodes.operators', operators]),
    reads: [],
    admits: (facts) => (allowed.has(facts.operator) ? 'pass' : 'fail'),
    explain: (facts) => {
      const pass = allowed.has(facts.operator);
      const fix = pass ? null : `enrol the node with a join token of ${operators.join(' or ')}`;
      return {
        clause: 'nodes.operators',
        pass,
        unknown: false,
        wanted,
        seen: facts.operator,
        source: 'enrolment',
        issuer: 'network',
        ageMs: null,
        fix,
      };
    },
  };
}

type PlaceLists = { readonly in?: readonly string[] | undefined; readonly notIn?: readonly string[] | undefined };

export function locationClause(
  clause: NonNullable<NodesClause['location']>,
  registry: PlaceRegistry,
  context: CompileContext,
): { clause: NodeClause; places: CompiledPlaces } {
  const places = compilePlaces(clause.in, clause.notIn, registry);
  const wanted = describePlaces(clause);
  return {
    places,
    clause: factClause(
      {
        name: 'nodes.location',
        fact: 'location',
        defaultSource: 'measured',
        provenance: clause,
        wanted,
        asks: places.text,
        judge: ({ candidates }) => everyPlace(places, candidates),
        show: ({ candidates }) =>
          candidates.length === 0
            ? 'no evidence'
            : candidates.map(({ country, subdivision }) => subdivision ?? country).join(' or '),
        fix: () => `run the node where every place that it may be in is inside ${wanted}`,
      },
      context,
    ),
  };
}

export function operatorSeatClause(
  clause: NonNullable<NodesClause['operatorSeat']>,
  registry: PlaceRegistry,
  context: CompileContext,
): { clause: NodeClause; places: CompiledPlaces } {
  const places = compilePlaces(clause.in, clause.notIn, registry);
  const wanted = describePlaces(clause);
  return {
    places,
    clause: factClause(
      {
        name: 'nodes.operatorSeat',
        fact: 'operatorSeat',
        defaultSource: 'attested',
        provenance: clause,
        wanted,
        asks: places.text,
        judge: (seat) => everyPlace(places, [seat]),
        show: ({ country, subdivision }) => subdivision ?? country,
        fix: () => `have the node run by an operator whose legal seat is in ${wanted}`,
      },
      context,
    ),
  };
}

export function hardwareClause(clause: NonNullable<NodesClause['hardware']>, context: CompileContext): NodeClause {
  const { gpu } = clause;
  const least = gpu.count?.min ?? 1;
  const most = gpu.count?.max ?? Number.POSITIVE_INFINITY;
  const models = gpu.model === undefined ? null : new Set<string>(gpu.model);
  const fits = (device: GpuFact): Outcome => {
    let unknown = false;
    if (models !== null) {
      const name = device.model ?? gpuNameOf(device.driverName);
      // A name outside the closed list, for example a newer agent's, says nothing that this build could compare.
      if (name === undefined || !KNOWN_GPUS.has(name)) unknown = true;
      else if (!models.has(name)) return 'fail';
    }
    const { min = 0, max = Number.POSITIVE_INFINITY } = gpu.vramGiB ?? {};
    if (gpu.vramGiB !== undefined) {
      if (device.vramGiB === null) unknown = true;
      else if (device.vramGiB < min || device.vramGiB > max) return 'fail';
    }
    if (gpu.confidential !== undefined) {
      if (device.confidential === null) unknown = true;
      else if (device.confidential !== gpu.confidential) return 'fail';
    }
    return unknown ? 'unknown' : 'pass';
  };
  const device = describeDevice(gpu);
  const wanted = `${describeCount(least, most)} of ${device}`;
  const count = (gpus: readonly GpuFact[]): { passing: number; possible: number } => {
    let passing = 0;
    let possible = 0;
    for (const each of gpus) {
      const outcome = fits(each);
      if (outcome === 'pass') passing += 1;
      if (outcome !== 'fail') possible += 1;
    }
    return { passing, possible };
  };
  return factClause(
    {
      name: 'nodes.hardware',
      fact: 'hardware',
      defaultSource: 'measured',
      provenance: clause,
      wanted,
      asks: gpu,
      judge: ({ gpus }) => {
        const { passing, possible } = count(gpus);
        if (passing >= least && possible <= most) return 'pass';
        // What is unknown of a device could still make the difference either way.
        return possible >= least && passing <= most ? 'unknown' : 'fail';
      },
      show: ({ gpus }) => (gpus.length === 0 ? 'no GPU' : gpus.map(showDevice).join(', ')),
      fix: (value) => {
        const { passing, possible } = count(value?.gpus ?? []);
        const unknown = possible - passing;
        const steps: string[] = [];
        if (passing < least) steps.push(`add ${least - passing} GPU: ${device}`);
        if (passing > most) steps.push(`take away ${passing - most} GPU: ${device}`);
        const after = Math.min(Math.max(passing, least), most);
        if (after + unknown > most) steps.push(`let model, memory and confidential mode of ${unknown} GPU be known`);
        return steps.join(', and ');
      },
    },
    context,
  );
}

export function trustClauses(clause: NonNullable<NodesClause['trust']>, context: CompileContext): NodeClause[] {
  const { level, reputation, stake } = clause;
  const common = { defaultSource: 'measured', provenance: clause } as const;
  const clauses: NodeClause[] = [];
  if (level !== undefined) {
    clauses.push(
      factClause(
        {
          ...common,
          name: 'nodes.trust.level',
          fact: 'trustLevel',
          wanted: `${level} or better`,
          asks: level,
          judge: (seen) => (trustAtLeast(seen, level) ? 'pass' : 'fail'),
          show: (seen) => seen,
          fix: () => `have the node's trust raised to ${level}`,
        },
        context,
      ),
    );
  }
  if (reputation !== undefined) {
    const { min } = reputation;
    clauses.push(
      factClause(
        {
          ...common,
          name: 'nodes.trust.reputation',
          fact: 'reputation',
          wanted: `at least ${min}`,
          asks: min,
          judge: (seen) => (seen >= min ? 'pass' : 'fail'),
          show: (seen) => String(seen),
          fix: (seen) =>
            `reach a reputation of ${min}${seen === undefined ? '' : ` (${Math.ceil((min - seen) * 1e6) / 1e6} more)`}`,
        },
        context,
      ),
    );
  }
  if (stake !== undefined) {
    const least = parseAmount(stake.min);
    clauses.push(
      factClause(
        {
          ...common,
          name: 'nodes.trust.stake',
          fact: 'stake',
          wanted: `at least ${stake.min}`,
          asks: stake.min,
          judge: (text) => {
            const seen = parseAmount(text);
            // Two units cannot be compared, and nobody here knows a rate.
            if (seen === undefined || least === undefined || seen.unit !== least.unit) return 'unknown';
            return seen.atoms >= least.atoms ? 'pass' : 'fail';
          },
          show: (text) => text,
          fix: () => `stake ${stake.min}`,
        },
        context,
      ),
    );
  }
  return clauses;
}

export function labelsClause(labels: Readonly<Record<string, string>>, context: CompileContext): NodeClause {
  const wantedEntries = Object.entries(labels);
  const missing = (seen: Readonly<Record<string, string>>): [string, string][] =>
    wantedEntries.filter(([key, value]) => !Object.hasOwn(seen, key) || seen[key] !== value);
  return factClause(
    {
      name: 'nodes.labels',
      fact: 'labels',
      defaultSource: 'declared',
      provenance: {},
      wanted: canonicalJson(labels),
      asks: labels,
      judge: (seen) =>
        wantedEntries.every(([key, value]) => Object.hasOwn(seen, key) && seen[key] === value) ? 'pass' : 'fail',
      show: (seen) =>
        canonicalJson(
          Object.fromEntries(wantedEntries.flatMap(([key]) => (Object.hasOwn(seen, key) ? [[key, seen[key]]] : []))),
        ),
      fix: (seen) =>
        `set ${missing(seen ?? {})
          .map(([key, value]) => `${key}=${value}`)
          .join(', ')} under labels in agent.yaml`,
    },
    context,
  );
}

function everyPlace(places: CompiledPlaces, candidates: readonly { country: string; subdivision?: string }[]): Outcome {
  if (candidates.length === 0) return 'unknown';
  let inside = 0;
  let outside = 0;
  for (const candidate of candidates) {
    const verdict = places.contains(candidate);
    if (verdict === 'yes') inside += 1;
    else if (verdict === 'no') outside += 1;
  }
  if (inside === candidates.length) return 'pass';
  return outside === candidates.length ? 'fail' : 'unknown';
}

function describePlaces({ in: inList, notIn }: PlaceLists): string {
  const inside = inList === undefined ? 'anywhere' : inList.join(', ');
  return notIn === undefined ? inside : `${inside} except ${notIn.join(', ')}`;
}

function describeCount(least: number, most: number): string {
  if (most === Number.POSITIVE_INFINITY) return `${least} or more`;
  return most === least ? `exactly ${least}` : `${least} to ${most}`;
}

function describeDevice(gpu: NonNullable<NodesClause['hardware']>['gpu']): string {
  const parts = [
    gpu.model?.join(' or ') ?? 'any GPU',
    gpu.vramGiB?.min === undefined ? '' : `with at least ${gpu.vramGiB.min} GiB`,
    gpu.vramGiB?.max === undefined ? '' : `with at most ${gpu.vramGiB.max} GiB`,
    gpu.confidential === undefined ? '' : gpu.confidential ? 'confidential' : 'not confidential',
  ];
  return parts.filter((part) => part !== '').join(', ');
}

function showDevice({ model, driverName, vramGiB, confidential }: GpuFact): string {
  const memory = vramGiB === null ? '? GiB' : `${round(vramGiB)} GiB`;
  const mode = confidential === null ? '' : confidential ? ' confidential' : ' not confidential';
  return `${model ?? gpuNameOf(driverName) ?? `${driverName} (no known name)`} ${memory}${mode}`;
}

const KNOWN_GPUS: ReadonlySet<string> = new Set(GPU_NAMES);

function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
