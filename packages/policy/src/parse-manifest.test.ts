import { describe, expect, it } from 'vitest';
import { type ManifestError, parseManifest } from './parse-manifest.ts';

const HEAD = 'apiVersion: subcloud/v1\nkind: Subcloud\nmetadata: { name: lab }\n';

/** The faults as `line path code: message`, in the order in which they are shown. */
function faults(text: string): readonly string[] {
  const parsed = parseManifest(text);
  return parsed.ok
    ? []
    : parsed.errors.map(({ line, path, code, message }: ManifestError) => `${line} ${path} ${code}: ${message}`);
}

const NOT_BUILT = 'is not enforced by this build: remove it, nothing is accepted and ignored';

describe('a manifest that holds', () => {
  it('comes back with every clause and all defaults written out', () => {
    const text = `
apiVersion: subcloud/v1
kind: Subcloud
metadata:
  name: eu-health
  owner: team:acme/clinical
  displayName: EU health
  labels: { team: clinical }
spec:
  models: { allow: [{ id: meta-llama/Llama-3.1-8B-Instruct }] }
  nodes:
    location: { in: [EU, CH], notIn: [HU, DE-BY] }
    operators: { in: [org:acme] }
    labels: { tier: gold }
  participation: { mode: open, autoJoin: true }
  isolation: isolate
  access: { tokens: true }
`;
    expect(parseManifest(text)).toEqual({
      ok: true,
      kind: 'Subcloud',
      manifest: {
        apiVersion: 'subcloud/v1',
        kind: 'Subcloud',
        metadata: {
          name: 'eu-health',
          owner: 'team:acme/clinical',
          displayName: 'EU health',
          labels: { team: 'clinical' },
        },
        spec: {
          models: {
            allow: [{ id: 'meta-llama/Llama-3.1-8B-Instruct' }],
            dedicated: false,
            private: false,
          },
          nodes: {
            location: { in: ['EU', 'CH'], notIn: ['HU', 'DE-BY'] },
            operators: { in: ['org:acme'] },
            labels: { tier: 'gold' },
            maxAge: '10m',
          },
          participation: { mode: 'open', autoJoin: true, cooldown: '10m' },
          isolation: 'isolate',
          access: { require: 'any', tokens: true },
          tests: [],
        },
      },
    });
  });

  it('that says nothing is private, shared and without clauses', () => {
    expect(parseManifest(`${HEAD}spec: {}`)).toMatchObject({
      ok: true,
      manifest: {
        spec: {
          models: {},
          nodes: {},
          participation: { mode: 'private', autoJoin: false },
          isolation: 'shared',
          access: { require: 'any', tokens: false },
        },
      },
    });
  });

  it('may use every clause that is in force', () => {
    const text = `${HEAD}spec:
  models:
    allow:
      - { id: lab/small, alias: small, digest: "sha256:${'ab'.repeat(32)}", audited: { by: [medcert], maxAge: 365d } }
      - { id: "lab/**" }
    quantization: { min: fp8 }
    modalities: { all: [text], any: [image, audio] }
    dedicated: true
    private: true
  nodes:
    location: { in: [EU, CH], notIn: [HU], source: [measured, attested], by: [network] }
    operatorSeat: { in: [EEA], source: attested, by: [network] }
    hardware:
      gpu: { model: [H100, H200], vramGiB: { min: 79 }, count: { min: 1, max: 8 }, confidential: true }
      source: attested
      by: [nvidia, network]
    trust: { level: verified, reputation: { min: 0.95 }, stake: { min: "1000 CREDIT" }, source: attested }
    operators: { in: [org:acme] }
    labels: { tier: gold }
    where: node.labels.rack != "r7" && node.uptime.d30 > 0.99
    maxAge: 10m
  tests:
    - name: a Hungarian node stays out
      node: { location: { country: HU, source: measured } }
      expect: { eligible: false, failing: [nodes.location] }
`;
    expect(faults(text)).toEqual([]);
    expect(
      faults(text.replace('Subcloud', 'Network').replace('lab', 'global').replace('    private: true\n', '')),
    ).toEqual([]);
  });

  it('may be JSON, may repeat itself by an anchor, and may govern the global network', () => {
    expect(parseManifest('{"apiVersion":"subcloud/v1","kind":"Network"}')).toMatchObject({ ok: true, kind: 'Network' });
    const network = (isolation: object): string =>
      JSON.stringify({ apiVersion: 'subcloud/v1', kind: 'Network', spec: { isolation } });
    expect(parseManifest(network({}))).toMatchObject({ manifest: { spec: { isolation: { maxShare: '50%' } } } });
    expect(parseManifest(network({ allowedTo: ['org:acme'], maxShare: '12.5%' })).ok).toBe(true);
    for (const maxShare of ['50', '101%', '100.1%', '-1%', '1.00001%', '%'])
      expect(faults(network({ maxShare }))).toEqual([
        expect.stringContaining('spec.isolation.maxShare invalid: must be a percentage from 0% to 100%'),
      ]);
    expect(faults(network({ allowedTo: ['acme'] }))).toHaveLength(1);
    expect(
      parseManifest(`${HEAD}spec: { nodes: { location: { in: &eu [EU], notIn: [HU] }, labels: { a: &x b, c: *x } } }`),
    ).toMatchObject({ ok: true, manifest: { spec: { nodes: { labels: { a: 'b', c: 'b' } } } } });
  });
});

describe('a bad manifest is refused with path, line and what to do', () => {
  const spec = (inner: string): string => `${HEAD}spec: ${inner}`;
  it.each<readonly [string, string, readonly string[]]>([
    ['no document', '', ['1  invalid: a manifest is a map with apiVersion, kind, metadata and spec']],
    ['a list', '- a', ['1  invalid: a manifest is a map with apiVersion, kind, metadata and spec']],
    [
      'an unknown kind',
      'apiVersion: subcloud/v1\nkind: SubCloud',
      ['2 kind invalid: kind must be Subcloud or Network, not "SubCloud"'],
    ],
    ['no kind', 'apiVersion: subcloud/v1\nspec: {}', ['1 kind invalid: kind must be Subcloud or Network']],
    [
      'another version',
      'apiVersion: subcloud/v2\nkind: Subcloud\nmetadata: { name: lab }\nspec: {}',
      ['1 apiVersion invalid: expected "subcloud/v1", not "subcloud/v2"'],
    ],
    ['no spec', HEAD, ['null spec invalid: is required']],
    [
      'a misspelt key',
      spec('{ isolaton: isolate }'),
      ['4 spec.isolaton unknown_key: unknown key "isolaton"; did you mean isolation?'],
    ],
    [
      'a misspelt key on a line of its own, far inside',
      `${HEAD}spec:\n  nodes:\n    location:\n      in: [EU]\n      notin: [HU]`,
      ['8 spec.nodes.location.notin unknown_key: unknown key "notin"; did you mean notIn?'],
    ],
    ['a key that resembles none', spec('{ banana: 1 }'), ['4 spec.banana unknown_key: unknown key "banana"']],
    [
      'a key in a list entry',
      spec('{ models: { allow: [{ id: a }, { id: b, weight: 2 }] } }'),
      ['4 spec.models.allow[1].weight unknown_key: unknown key "weight"'],
    ],
    [
      'a key that only an object has by nature',
      spec('{ constructor: {} }'),
      ['4 spec.constructor unknown_key: unknown key "constructor"'],
    ],
    [
      'a clause of later',
      spec('{ sla: { ttft: { p95: 800ms } } }'),
      [`4 spec.sla.ttft not_enforced: spec.sla.ttft ${NOT_BUILT}`],
    ],
    [
      'an admission that no request is made for',
      spec('{ participation: { mode: open, admit: { any: [approval] } } }'),
      ['4 spec.participation.admit invalid: admit needs mode: semi-open'],
    ],
    [
      'a stake without its unit',
      spec('{ participation: { mode: semi-open, admit: { any: [{ stake: 1000 }] } } }'),
      ['4 spec.participation.admit.any[0].stake invalid: expected string, not 1000'],
    ],
    [
      'exclusive, by itself',
      spec('{ isolation: exclusive, participation: { mode: open, autoJoin: true } }'),
      [
        '4 spec.participation.autoJoin invalid: an exclusive Subcloud takes no node by itself: each operator says yes by its name',
      ],
    ],
    [
      'a country in words',
      spec('{ nodes: { location: { in: [Germany] } } }'),
      [
        '4 spec.nodes.location.in[0] invalid: "Germany" is no place: use ISO 3166-1 or 3166-2 codes or a named domain; did you mean DE?',
      ],
    ],
    [
      'a place in small letters',
      spec('{ nodes: { location: { notIn: [HU, eu] } } }'),
      [
        '4 spec.nodes.location.notIn[1] invalid: "eu" is no place: use ISO 3166-1 or 3166-2 codes or a named domain; did you mean EU?',
      ],
    ],
    [
      'a place that is none',
      spec('{ nodes: { location: { in: [ZZ] } } }'),
      ['4 spec.nodes.location.in[0] invalid: "ZZ" is no place: use ISO 3166-1 or 3166-2 codes or a named domain'],
    ],
    [
      'the Norway trap',
      '%YAML 1.1\n---\n' + spec('{ nodes: { location: { in: [NO] } } }'),
      ['6 spec.nodes.location.in[0] invalid: expected string, not false'],
    ],
    [
      'a location that says nothing',
      spec('{ nodes: { location: {} } }'),
      ['4 spec.nodes.location invalid: needs `in` or `notIn`'],
    ],
    [
      'labels that ask for nothing',
      spec('{ nodes: { labels: {} } }'),
      ['4 spec.nodes.labels invalid: needs at least one label'],
    ],
    [
      'a label that is no text',
      spec('{ nodes: { labels: { tier: 1 } } }'),
      ['4 spec.nodes.labels.tier invalid: expected string, not 1'],
    ],
    [
      'a label that records leave out in silence',
      spec('{ nodes: { labels: { tier: gold, __proto__: x } } }'),
      ['4 spec.nodes.labels.__proto__ syntax: the key "__proto__" is reserved'],
    ],
    [
      'an operator that is no principal',
      spec('{ nodes: { operators: { in: [acme] } } }'),
      ['4 spec.nodes.operators.in[0] invalid: must be user:ID, team:ORG/ID or org:ID, not "acme"'],
    ],
    [
      'a private Subcloud that takes nodes by itself',
      spec('{ participation: { mode: private, autoJoin: true } }'),
      [
        '4 spec.participation.autoJoin invalid: autoJoin needs mode: open or semi-open; with private only the owner assigns nodes, not true',
      ],
    ],
    [
      'autoJoin where private is the default',
      spec('{ participation: { autoJoin: true } }'),
      [
        '4 spec.participation.autoJoin invalid: autoJoin needs mode: open or semi-open; with private only the owner assigns nodes, not true',
      ],
    ],
    [
      'a wrong type',
      spec('{ access: { tokens: "yes" } }'),
      ['4 spec.access.tokens invalid: expected boolean, not "yes"'],
    ],
    [
      'a name that is no DNS label',
      'apiVersion: subcloud/v1\nkind: Subcloud\nmetadata:\n  name: EU_Health\nspec: {}',
      ['4 metadata.name invalid: must be a DNS label: a-z, 0-9 and -, at most 63 characters, not "EU_Health"'],
    ],
    [
      'a reserved name',
      HEAD.replace('lab', 'global') + 'spec: {}',
      ['3 metadata.name invalid: is a reserved name, not "global"'],
    ],
    [
      'an owner that is no principal',
      HEAD.replace('name: lab', 'name: lab, owner: me') + 'spec: {}',
      ['3 metadata.owner invalid: must be user:ID, team:ORG/ID or org:ID, not "me"'],
    ],
    ['a key twice', `${HEAD}spec: {}\nspec: {}`, ['5  syntax: Map keys must be unique']],
    [
      'a key twice, inside a flow map',
      spec('{ isolation: shared, "isolation": isolate }'),
      ['4  syntax: Map keys must be unique'],
    ],
    ['a key that is a list', `? [kind]\n: x\n${HEAD}`, ['1  syntax: With stringKeys, all keys must be strings']],
    [
      'tabs',
      'apiVersion: subcloud/v1\nkind: Subcloud\nmetadata:\n\tname: lab\n',
      ['4  syntax: Tabs are not allowed as indentation'],
    ],
    [
      'several documents',
      `${HEAD}spec: {}\n---\n${HEAD}spec: {}`,
      ['5  syntax: a manifest is one document, and the text holds several'],
    ],
    [
      'an unclosed bracket',
      spec('{ nodes: '),
      ['4  syntax: Flow map in block collection must be sufficiently indented and end with a }'],
    ],
    ['a tag that nobody knows', spec('{ isolation: !mine shared }'), ['4  syntax: Unresolved tag: !mine']],
    ['a merge key', `${HEAD}spec: { <<: { isolation: isolate } }`, ['4 spec.<< unknown_key: unknown key "<<"']],
    [
      'an alias to nothing',
      spec('{ isolation: *none }'),
      ['null  syntax: Unresolved alias (the anchor must be set before the alias): none'],
    ],
    [
      'an alias to what it is in',
      spec('&loop { nodes: *loop }'),
      ['4 spec.nodes syntax: an alias refers to what it is a part of'],
    ],
  ])('%s', (_, text, expected) => {
    expect(faults(text)).toEqual(expected);
  });

  it('reports all faults at once, in the order of their lines, at most fifty', () => {
    const text = `apiVersion: subcloud/v1
kind: Subcloud
metadata:
  name: Lab
spec:
  isolation: total
  models: { alow: [] }
  nodes:
    location:
      in: [EUU]
  sla: { tpot: {} }
`;
    expect(faults(text).map((fault) => fault.split(': ')[0])).toEqual([
      '4 metadata.name invalid',
      '6 spec.isolation invalid',
      '7 spec.models.alow unknown_key',
      '10 spec.nodes.location.in[0] invalid',
      '11 spec.sla.tpot not_enforced',
    ]);
    const many = Array.from({ length: 300 }, (_, index) => `zz${index}: 1`).join('\n');
    expect(faults(`${HEAD}${many}`)).toHaveLength(50);
  });

  it('cuts what it repeats of the input', () => {
    const [fault = ''] = faults(spec(`{ isolation: "${'x'.repeat(200_000)}" }`));
    expect(fault.length).toBeLessThan(200);
    const [key = ''] = faults(spec(`{ "${'k'.repeat(1_000)}": 1 }`));
    expect(key).toContain('unknown key');
    expect(key.split('unknown key')[1]?.length).toBeLessThan(100);
  });
});
