import { describe, expect, it } from 'vitest';
import type { SubcloudSpec } from './manifest.ts';
import { parseManifest } from './parse-manifest.ts';
import { type PolicyTestResult, runPolicyTests } from './policy-tests.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;
const CLAUSES = `
  models:
    allow: [{ id: lab/small, digest: "${DIGEST}", audited: { by: [medcert], maxAge: 30d } }, { id: "open/*" }]
    quantization: { min: fp8 }
    dedicated: true
  nodes:
    location: { in: [EU], notIn: [HU] }
    operatorSeat: { in: [EEA] }
    hardware: { gpu: { model: [H100], count: { min: 2 } }, source: attested, by: [nvidia] }
    trust: { level: verified, reputation: { min: 0.9 } }
    operators: { in: [org:acme] }
    labels: { tier: gold }
    where: node.uptime.d30 > 0.99
    maxAge: 10m
`;
const GOOD = `operator: org:acme, location: { country: DE }, operatorSeat: { country: FR }, labels: { tier: gold }, hardware: { gpus: [{ model: H100, count: 2 }], source: attested, by: nvidia }, trust: { level: audited, reputation: 0.95 }, uptime: { d30: 1 }`;

function specOf(node: string, expectation: string, clauses = CLAUSES): SubcloudSpec {
  const text = `apiVersion: subcloud/v1\nkind: Subcloud\nmetadata: { name: lab }\nspec:${clauses}\n  tests: [{ name: one, node: { ${node} }, expect: { ${expectation} } }]\n`;
  const parsed = parseManifest(text);
  if (!parsed.ok || parsed.kind !== 'Subcloud') throw new Error(JSON.stringify(parsed));
  return parsed.manifest.spec;
}

function run(node: string, expectation: string): PolicyTestResult {
  const [result] = runPolicyTests(specOf(node, expectation), { owner: 'org:acme' });
  if (result === undefined) throw new Error('one test was given');
  return result;
}

/** The clauses that fail for the good node with one thing said otherwise. */
function failing(from: string, to: string): readonly string[] {
  if (!GOOD.includes(from)) throw new Error(`${from} is not there`);
  return run(GOOD.replace(from, to), 'eligible: true').got.failing;
}

describe("a manifest's tests", () => {
  it('judge the clauses under nodes alone where the node has no models', () => {
    expect(run(GOOD, 'eligible: true')).toMatchObject({
      pass: true,
      message: 'holds',
      got: { failing: [], models: [] },
    });
  });

  it('take every fact from the default source of its clause, unless the test says otherwise', () => {
    expect(failing('country: DE', 'country: HU')).toEqual(['nodes.location']);
    expect(failing('{ country: DE }', '{ country: DE, source: declared }')).toEqual(['nodes.location']);
    expect(failing('{ country: DE }', '{ country: DE, source: attested }')).toEqual([]);
    expect(failing('{ country: FR }', '{ country: FR, source: measured }')).toEqual(['nodes.operatorSeat']);
    expect(failing(', source: attested, by: nvidia', '')).toEqual(['nodes.hardware']);
    expect(failing('by: nvidia', 'by: other')).toEqual(['nodes.hardware']);
    expect(failing('source: attested, by: nvidia', 'by: nvidia')).toEqual([]);
    expect(failing('count: 2', 'count: 1')).toEqual(['nodes.hardware']);
    expect(failing('level: audited', 'level: identified')).toEqual(['nodes.trust.level']);
    expect(failing('{ tier: gold }', '{ tier: silver }')).toEqual(['nodes.labels']);
    expect(failing('operator: org:acme, ', '')).toEqual(['nodes.operators']);
    expect(failing('d30: 1', 'd30: 0.5')).toEqual(['nodes.where']);
  });

  it('know how old a fact is', () => {
    expect(failing('{ country: DE }', '{ country: DE, age: 10m }')).toEqual([]);
    expect(failing('{ country: DE }', '{ country: DE, age: 11m }')).toEqual(['nodes.location']);
    expect(failing('{ country: FR }', '{ country: FR, age: 365d }')).toEqual([]);
  });

  it('judge models with their digests and audits', () => {
    const small = (audit: string): string =>
      `${GOOD}, models: [{ id: lab/small, digest: "${DIGEST}", quantization: fp16, audited: [${audit}] }]`;
    expect(run(small('{ by: medcert, age: 10d }'), 'eligible: true, models: [lab/small]').pass).toBe(true);
    expect(run(small('{ by: medcert, age: 31d }'), 'eligible: false, failing: [models.allow]').pass).toBe(true);
    expect(run(small('{ by: other }'), 'eligible: false, failing: [models.allow, models.dedicated]').pass).toBe(true);
    const two = `${GOOD}, models: [{ id: open/a, quantization: fp8 }, { id: open/b, quantization: bf16 }]`;
    expect(run(two, 'eligible: true, models: [open/b, open/a]').pass).toBe(true);
    expect(run(two, 'eligible: true, models: [open/a]')).toMatchObject({
      pass: false,
      message: 'expected the models open/a, got open/a, open/b',
    });
  });

  it('that do not hold say what was expected, what came out and why', () => {
    const result = run(GOOD.replace('country: DE', 'country: HU'), 'eligible: true');
    expect(result).toMatchObject({
      name: 'one',
      pass: false,
      expected: { eligible: true, failing: [], models: null },
      got: { eligible: false, failing: ['nodes.location'], models: [] },
      missing: [],
    });
    expect(result.message).toMatch(
      /^expected eligible, got not eligible; nodes\.location wanted EU except HU .*, saw HU/,
    );
    expect(run(GOOD, 'eligible: false, failing: [nodes.location]')).toMatchObject({
      pass: false,
      missing: ['nodes.location'],
      message: 'expected not eligible, got eligible; expected to fail and did not: nodes.location',
    });
    const other = run(GOOD.replace('country: DE', 'country: HU'), 'eligible: false, failing: [nodes.labels]');
    expect(other).toMatchObject({ pass: false, missing: ['nodes.labels'], got: { failing: ['nodes.location'] } });
  });

  it('take an operator that is not given for not known, and not for somebody else', () => {
    const clauses = '\n  nodes: { where: node.operator != "org:other" }';
    const spec = specOf('', 'eligible: false, failing: [nodes.where]', clauses);
    expect(runPolicyTests(spec, { owner: null })).toMatchObject([{ pass: true, got: { failing: ['nodes.where'] } }]);
  });

  it('know nothing of a node that says nothing', () => {
    const { got } = run('', 'eligible: false');
    expect(got.failing).toEqual([
      'nodes.operators',
      'nodes.location',
      'nodes.operatorSeat',
      'nodes.hardware',
      'nodes.trust.level',
      'nodes.trust.reputation',
      'nodes.labels',
      'nodes.where',
    ]);
  });
});
