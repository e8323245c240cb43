/** What people read of each clause: wanted, seen, where it comes from, and the least change that would pass. */
import { describe, expect, it } from 'vitest';
import { compilePolicy, decide } from '../decide.ts';
import type { Claim, ClaimSource, FactName, NodeFacts } from '../facts.ts';
import { subcloudManifest } from '../manifest.ts';
import type { ClauseName, ClauseResult } from './clause.ts';

const NOW = 1_800_000_000_000;
const A = `sha256:${'a'.repeat(64)}`;
const B = `sha256:${'b'.repeat(64)}`;

function says(fact: FactName, value: unknown, source: ClaimSource = 'measured', issuer = 'network'): Claim {
  const at = NOW - 60_000;
  return { id: 'c', fact, value, source, issuer, issuedAt: at, confirmedAt: at, expiresAt: null } as Claim;
}
const model = (id: string, more: object = {}): object => ({
  id,
  digest: null,
  quantization: null,
  modalities: null,
  contextLength: null,
  ...more,
});
const gpu = (more: object): object => ({ model: null, driverName: '', vramGiB: null, confidential: null, ...more });

function clause(name: ClauseName, spec: object, ...claims: Claim[]): ClauseResult | undefined {
  const manifest = { apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata: { name: 'a' }, spec };
  const facts: NodeFacts = { nodeId: 'n', operator: 'org:birch', claims, lastSeenAt: null };
  return decide(compilePolicy(subcloudManifest.parse(manifest).spec), facts, NOW).clauses.find(
    (result) => result.clause === name,
  );
}

const eu = { nodes: { location: { in: ['EU', 'CH'], notIn: ['HU'] } } };
const berlin = { candidates: [{ country: 'DE', subdivision: 'DE-BE' }], evidence: 'e' };

describe('a clause that passes', () => {
  it('tells the claim that counts: source, issuer, age, and no fix', () => {
    expect(clause('nodes.location', eu, says('location', berlin))).toEqual({
      clause: 'nodes.location',
      pass: true,
      unknown: false,
      wanted: 'EU, CH except HU (measured or stronger)',
      seen: 'DE-BE',
      source: 'measured',
      issuer: 'network',
      ageMs: 60_000,
      fix: null,
    });
  });

  it('names every source that a list asks for', () => {
    const both = { nodes: { location: { in: ['EU'], source: ['measured', 'attested'], by: ['medcert', 'network'] } } };
    const claims = [says('location', berlin), says('location', berlin, 'attested', 'medcert')];
    expect(clause('nodes.location', both, ...claims)).toMatchObject({
      pass: true,
      wanted: 'EU (measured, and attested by medcert or network)',
      issuer: 'medcert',
    });
  });
});

describe('a fact that is not known', () => {
  const fix = 'run the node where every place that it may be in is inside EU, CH except HU; ';
  it.each<readonly [string, string, Claim[]]>([
    ['no claim', 'have location known: measured or stronger', []],
    ['too weak a source', 'have location known: measured or stronger', [says('location', berlin, 'declared')]],
    [
      'stale',
      'have location confirmed anew: measured or stronger',
      [{ ...says('location', berlin), confirmedAt: 0 } as Claim],
    ],
    [
      'expired',
      'have location confirmed anew: measured or stronger',
      [{ ...says('location', berlin), expiresAt: NOW } as Claim],
    ],
    ['malformed', 'replace the unreadable claim about location: measured or stronger', [says('location', 'DE')]],
    [
      'claims disagree',
      'withdraw the claims about location that are wrong, leaving those that agree: measured or stronger',
      [says('location', berlin), says('location', { candidates: [], evidence: '' })],
    ],
  ])('says why and what to do: %s', (why, remedy, claims) => {
    expect(clause('nodes.location', eu, ...claims)).toMatchObject({
      pass: false,
      unknown: true,
      seen: `unknown (${why})`,
      source: null,
      issuer: null,
      ageMs: null,
      fix: `${fix}${remedy}`,
    });
  });

  it('names the issuers who would count', () => {
    const seat = { nodes: { operatorSeat: { in: ['DE'], by: ['medcert'] } } };
    expect(clause('nodes.operatorSeat', seat, says('operatorSeat', { country: 'DE' }, 'attested'))).toMatchObject({
      wanted: 'DE (attested by medcert)',
      seen: 'unknown (no accepted issuer)',
      fix: 'have the node run by an operator whose legal seat is in DE; have operatorSeat known: attested by medcert',
    });
    const place = { nodes: { location: { in: ['DE'], source: 'measured', by: ['medcert'] } } };
    expect(clause('nodes.location', place)?.wanted).toBe('DE (at least measured, attested only by medcert)');
  });

  it('is also a value that leaves it open', () => {
    const candidates = [{ country: 'DE' }, { country: 'US' }];
    expect(clause('nodes.location', eu, says('location', { candidates, evidence: '' }))).toMatchObject({
      unknown: true,
      seen: 'unknown: DE or US',
      source: 'measured',
    });
    expect(clause('nodes.location', eu, says('location', { candidates: [], evidence: '' }))?.seen).toBe(
      'unknown: no evidence',
    );
  });
});

describe('the least change', () => {
  it('of labels names those that are missing and no others, and shows no label that nobody asks for', () => {
    const spec = { nodes: { labels: { tier: 'gold', zone: 'a' } } };
    const seen = says('labels', { tier: 'gold', zone: 'b', secret: 'x' }, 'declared', 'node:n');
    expect(clause('nodes.labels', spec, seen)).toMatchObject({
      seen: '{"tier":"gold","zone":"b"}',
      fix: 'set zone=a under labels in agent.yaml',
    });
  });

  it('of operators names whose join token it takes', () => {
    expect(clause('nodes.operators', { nodes: { operators: { in: ['org:acme', 'user:solo'] } } })).toMatchObject({
      wanted: 'one of org:acme, user:solo',
      seen: 'org:birch',
      source: 'enrolment',
      fix: 'enrol the node with a join token of org:acme or user:solo',
    });
  });

  it('of trust names level, reputation with what is missing of it, and stake', () => {
    const spec = { nodes: { trust: { level: 'verified', reputation: { min: 0.95 }, stake: { min: '1000 CREDIT' } } } };
    const claims = [says('trustLevel', 'identified'), says('reputation', 0.9), says('stake', '5 ETH')];
    const fixOf = (name: ClauseName): unknown => clause(name, spec, ...claims)?.fix;
    expect(fixOf('nodes.trust.level')).toBe("have the node's trust raised to verified");
    expect(fixOf('nodes.trust.reputation')).toBe('reach a reputation of 0.95 (0.05 more)');
    expect(fixOf('nodes.trust.stake')).toBe('stake 1000 CREDIT');
    expect(clause('nodes.trust.stake', spec, ...claims)?.seen).toBe('unknown: 5 ETH');
  });

  it('of hardware counts what is missing, what is too much, and what is not known', () => {
    const h100 = gpu({ model: 'H100', vramGiB: 79.6, confidential: true });
    const asks = (count: object, ...gpus: object[]): ClauseResult | undefined =>
      clause(
        'nodes.hardware',
        { nodes: { hardware: { gpu: { model: ['H100', 'H200'], vramGiB: { min: 79 }, count } } } },
        says('hardware', { gpus }),
      );
    const device = 'H100 or H200, with at least 79 GiB';
    expect(asks({ min: 3 }, h100)).toMatchObject({
      wanted: `3 or more of ${device} (measured or stronger)`,
      seen: 'H100 79.6 GiB confidential',
      fix: `add 2 GPU: ${device}`,
    });
    expect(asks({ max: 1 }, h100, h100, h100)).toMatchObject({
      wanted: `1 to 1 of ${device} (measured or stronger)`.replace('1 to 1', 'exactly 1'),
      fix: `take away 2 GPU: ${device}`,
    });
    expect(asks({ max: 1 }, h100, gpu({ driverName: 'Mystery' }))).toMatchObject({
      seen: 'unknown: H100 79.6 GiB confidential, Mystery (no known name) ? GiB',
      fix: 'let model, memory and confidential mode of 1 GPU be known',
    });
    expect(asks({ min: 1 })?.seen).toBe('no GPU');
  });

  it('of models names the entries that a served id is nearest to, with the whole digest', () => {
    const allow = [{ id: 'lab/a', digest: A }, { id: 'lab/b' }];
    const asks = (...models: object[]): ClauseResult | undefined =>
      clause('models.allow', { models: { allow } }, says('models', models, 'declared'));
    expect(asks(model('x/y'))).toMatchObject({
      wanted: 'one of lab/a with sha256:aaaaaaaaaaaa…, lab/b (declared or stronger)',
      seen: 'x/y',
      fix: `serve one of: lab/a with ${A}, lab/b`,
    });
    expect(asks(model('lab/a', { digest: B }))).toMatchObject({ unknown: false, fix: `serve one of: lab/a with ${A}` });
    expect(asks(model('lab/a'))).toMatchObject({ unknown: true, seen: 'lab/a (digest unknown)' });
  });

  it('of audits names the weights that want one, by whom, and how old it may be', () => {
    const allow = [{ id: 'lab/*', audited: { by: ['medcert', 'network'], maxAge: '365d' } }];
    const served = says('models', [model('lab/a', { digest: A })], 'declared');
    expect(clause('models.allow', { models: { allow } }, served)).toMatchObject({
      unknown: true,
      seen: 'lab/a sha256:aaaaaaaaaaaa… (audit unknown)',
      fix: `have lab/a ${A} audited: lab/* audited by medcert or network at most 365d ago`,
    });
  });

  it('of a dedicated node names the models that have to go, each once', () => {
    const spec = { models: { allow: [{ id: 'lab/a' }], dedicated: true } };
    const served = says('models', [model('lab/a'), model('x/y'), model('x/y', { digest: A })], 'declared');
    expect(clause('models.dedicated', spec, served)).toMatchObject({
      seen: 'x/y',
      fix: 'stop serving x/y on the node',
    });
  });

  it('of quantisation and modalities says what it takes', () => {
    const spec = { models: { quantization: { min: 'fp8' }, modalities: { all: ['text'], any: ['image', 'audio'] } } };
    const coarse = says('models', [model('lab/a', { quantization: 'int4' })], 'declared');
    expect(clause('models.quantization', spec, coarse)).toMatchObject({
      seen: 'lab/a int4',
      fix: 'serve an allowed model with quantisation fp8 or finer',
    });
    expect(clause('models.modalities', spec, coarse)).toMatchObject({ seen: 'none', unknown: false });
    const silent = says('models', [model('lab/a', { quantization: 'fp8', modalities: [] })], 'declared');
    expect(clause('models.modalities', spec, silent)).toMatchObject({
      wanted: 'text, and image or audio (declared or stronger)',
      seen: 'lab/a nothing',
      fix: 'serve a model that passes the clauses before and takes text, and image or audio',
    });
  });

  it('lists a few of very many', () => {
    const many = says(
      'models',
      Array.from({ length: 20 }, (_, at) => model(`x/${at}`)),
      'declared',
    );
    expect(clause('models.allow', { models: { allow: [{ id: 'lab/a' }] } }, many)?.seen).toMatch(/x\/7 and 12 more$/);
  });
});
