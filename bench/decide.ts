/**
 * What one decision costs: the fast form that the reconciler asks for every pair of node and Subcloud, the explained one
 * that people read, and the fast one with a CEL expression; and the same policy as a CEL expression and a JSON Logic rule
 * that are evaluated for each request, as other gateways do.
 *
 *   node bench/decide.ts
 *
 * Typed clauses alone are location, labels, hardware and an allow-list, on a node of some fifteen claims; half of the
 * nodes are admitted, the others fall at each clause in turn. The last line is one JSON object, times in nanoseconds.
 */
import { availableParallelism, cpus } from 'node:os';
import { performance } from 'node:perf_hooks';
import { type CompiledPolicy, admits, compilePolicy, decide } from '@subcloud/policy/decide';
import type { Claim, FactName, FactValues, NodeFacts } from '@subcloud/policy/facts';
import { subcloudManifest } from '@subcloud/policy/manifest';
import { type FlatNode, celEvaluator, flatNode, jsonLogicEvaluator } from './policy/evaluators.ts';

const NOW = 1_800_000_000_000;
const ROUNDS = 9;
const NODES = 512;

const typed = compile({
  models: { allow: [{ id: 'lab/large' }, { id: 'lab/*' }] },
  nodes: {
    location: { in: ['EU', 'CH'], notIn: ['HU'], source: 'measured' },
    hardware: {
      gpu: { model: ['H100', 'H200'], vramGiB: { min: 79 }, count: { min: 1 } },
      source: 'attested',
      by: ['nvidia', 'network'],
    },
    labels: { tier: 'gold' },
  },
});
const withCel = compile({ nodes: { where: 'node.labels.rack != "r7"' } });

const nodes = Array.from({ length: NODES }, (_, index) => nodeFacts(index));
const admitted = nodes.filter((node) => admits(typed, node, NOW).eligible).length;
if (admitted < NODES / 4 || admitted > (NODES * 3) / 4) throw new Error(`the bench admits ${admitted} of ${NODES}`);

const decideNs = nanoseconds(400, (node) => admits(typed, node, NOW).eligible);
const explainNs = nanoseconds(40, (node) => decide(typed, node, NOW).eligible);
const celNs = nanoseconds(40, (node) => admits(withCel, node, NOW).eligible);
/** Facts that nobody has asked about yet: what a changed claim costs before the first decision. */
const firstNs = nanoseconds(10, (node) => admits(typed, { ...node }, NOW).eligible);

const flat = nodes.map((facts) => ({ facts, flat: flatNode(facts) }));
const celPolicy = celEvaluator();
const jsonLogicPolicy = jsonLogicEvaluator();
for (const { facts, flat: node } of flat) {
  const wanted = admits(typed, facts, NOW).eligible;
  if (celPolicy(node) !== wanted || jsonLogicPolicy(node) !== wanted)
    throw new Error(`the evaluators differ about ${facts.nodeId}`);
}
const flatOf = new Map(flat.map(({ facts, flat: node }) => [facts, node]));
const evaluated = (evaluate: (node: FlatNode) => boolean): number =>
  nanoseconds(10, (facts) => {
    const node = flatOf.get(facts);
    return node !== undefined && evaluate(node);
  });
const celPolicyNs = evaluated(celPolicy);
const jsonLogicNs = evaluated(jsonLogicPolicy);
const ratio = (ns: number): number => Math.round((ns / decideNs) * 10) / 10;
/** The same policy asked by an evaluator, as multiples of the typed decision. */
const perRequest = { celPolicyNs, jsonLogicNs, celRatio: ratio(celPolicyNs), jsonLogicRatio: ratio(jsonLogicNs) };

const machine = { node: process.version, cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism() };
console.log(JSON.stringify({ bench: 'decide', machine, decideNs, explainNs, celNs, firstNs, perRequest }));

/** A node's mean in the best round: the others shared the core with something else. */
function nanoseconds(repeats: number, run: (node: NodeFacts) => boolean): number {
  let best = Number.POSITIVE_INFINITY;
  let yes = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    for (let repeat = 0; repeat < repeats; repeat++) for (const node of nodes) if (run(node)) yes += 1;
    best = Math.min(best, (performance.now() - start) / (repeats * nodes.length));
  }
  // The count is used, so that no compiler may leave the calls out.
  if (yes < 0) throw new Error('unreachable');
  return Math.round(best * 1e6);
}

function compile(spec: object): CompiledPolicy {
  const manifest = { apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata: { name: 'bench' }, spec };
  return compilePolicy(subcloudManifest.parse(manifest).spec, { owner: 'org:acme' });
}

function nodeFacts(index: number): NodeFacts {
  const fault = index % 8;
  const country = fault === 1 ? 'HU' : ['DE', 'FR', 'CH', 'NL'][index % 4];
  const gpus = Array.from({ length: 8 }, () => ({
    model: fault === 2 ? ('A100' as const) : ('H100' as const),
    driverName: 'NVIDIA H100 80GB HBM3',
    vramGiB: 79.6,
    confidential: false,
  }));
  const place = { candidates: [{ country: country ?? 'DE' }], evidence: 'two databases' };
  const models = ['lab/large', 'lab/small', 'other/vision'].map((id) => ({
    id: fault === 4 ? `else/${id}` : id,
    digest: `sha256:${'a'.repeat(64)}`,
    quantization: 'fp16' as const,
    modalities: ['text' as const],
    contextLength: 8_192,
  }));
  const claims: Claim[] = [
    claim('location', place, 'measured', 'network'),
    claim('location', place, 'declared', 'node:1'),
    claim('operatorSeat', { country: 'DE' }, 'attested', 'network'),
    claim('models', models, 'declared', 'node:1'),
    claim('hardware', { gpus }, 'declared', 'node:1'),
    claim('hardware', { gpus }, 'attested', 'nvidia'),
    claim('trustLevel', 'verified', 'attested', 'network'),
    claim('reputation', 0.97, 'measured', 'network'),
    claim('stake', '1000 CREDIT', 'attested', 'network'),
    claim('uptime30d', 0.999, 'measured', 'network'),
    claim('audit', { digest: `sha256:${'a'.repeat(64)}` }, 'attested', 'medcert'),
    claim('audit', { digest: `sha256:${'b'.repeat(64)}` }, 'attested', 'medcert'),
    claim('audit', { digest: `sha256:${'c'.repeat(64)}` }, 'attested', 'medcert'),
    claim('labels', { tier: fault === 3 ? 'silver' : 'gold', rack: 'r1', team: 'clinical' }, 'declared', 'node:1'),
  ];
  return { nodeId: `nod_${index}`, operator: 'org:acme', claims, lastSeenAt: null };
}

function claim<Fact extends FactName>(
  fact: Fact,
  value: FactValues[Fact],
  source: Claim['source'],
  issuer: string,
): Claim {
  const id = `clm_${fact}_${source}`;
  return { id, fact, value, source, issuer, issuedAt: NOW, confirmedAt: NOW, expiresAt: NOW + 86_400_000 } as Claim;
}
