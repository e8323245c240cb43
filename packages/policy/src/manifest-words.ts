/** What each key of a manifest means, in a sentence: descriptions in the JSON Schema. A test finds keys without one. */

const PLACES = 'ISO 3166-1 countries, ISO 3166-2 subdivisions and named domains such as EU';
const PLACE_LISTS = { in: `Where it may be: ${PLACES}.`, notIn: `What is taken out of \`in\`: ${PLACES}.` };
const RANGE = { min: 'At least this.', max: 'At most this.' };
const TEST_ORIGIN = {
  source: "Where the test's fact comes from; default: the default source of the clause that reads it.",
  by: 'Who attested it, as a network attester.',
  age: 'How old it is, for example 5m; default: new.',
};
const TEST_PLACE = { country: 'ISO 3166-1 alpha-2 code.', subdivision: 'ISO 3166-2 code.', ...TEST_ORIGIN };

function provenance(defaultSource: string): Record<string, string> {
  return {
    source: `The least source that suffices (declared, measured, attested), or a list of sources that must each pass; default: ${defaultSource}.`,
    by: "Attesters whose word counts; default: the network's.",
  };
}

interface Words {
  readonly [key: string]: string | Words;
}

const MODELS: Words = {
  '': 'Which models the members serve here.',
  allow: {
    '': 'Models that are allowed; without it, any.',
    id: 'A model id, or a glob: * any run without /, ** any run, ? one character.',
    alias: 'A further name that callers may use for this id here; no other name in the manifest.',
    digest: 'Pins the weights: sha256: and 64 hex digits.',
    audited: {
      '': 'Asks for an attested audit of the weights that the engine reports.',
      by: 'Auditors whose word counts.',
      maxAge: 'How old the audit may be, for example 365d.',
    },
  },
  quantization: { '': 'How coarse the weights may be.', min: 'int4 < int8 < fp8 < fp16 = bf16 < fp32.' },
  modalities: { '': 'What a model takes.', all: 'Each of these.', any: 'At least one of these.' },
  dedicated: 'True: every model that a member reports must be allowed. Default: false.',
  private: 'True: members may offer these models in no other pool. Default: false.',
};
const NODES: Words = {
  '': 'Which nodes are eligible; every clause that is present must pass, and what is not known fails.',
  location: { '': 'Where the machine is.', ...PLACE_LISTS, ...provenance('measured') },
  operatorSeat: { '': 'Legal seat of who runs it.', ...PLACE_LISTS, ...provenance('attested') },
  hardware: {
    '': 'What the machine has.',
    gpu: {
      '': 'GPUs that count are those for which all of this holds.',
      model: 'Names of the closed list.',
      vramGiB: { '': 'Memory of each, in GiB; an H100 80 GB has 79.6.', ...RANGE },
      count: { '': 'How many such GPUs; default: at least 1.', ...RANGE },
      confidential: 'Whether confidential computing is on.',
    },
    ...provenance('measured'),
  },
  trust: {
    '': 'How far node and operator are trusted.',
    level: 'unverified < identified < verified < audited.',
    reputation: { '': 'A lower confidence bound.', min: '0 to 1.' },
    stake: { '': 'What the operator has at stake.', min: 'An amount and its unit, for example 1000 CREDIT.' },
    ...provenance('measured'),
  },
  operators: { '': 'Who owns the node.', in: 'user:ID or org:ID, as the node was enrolled.' },
  labels: 'Labels that agent.yaml must set so.',
  where: 'CEL over the facts of the node, for what has no clause, for example node.labels.rack != "r7".',
  maxAge: 'Measured facts older than this are not known. Default: 10m.',
};
const LIMITS = {
  requestsPerMinute: 'Requests; a bucket that holds those of one minute.',
  tokensPerMinute: 'Tokens of prompts and answers; a bucket that holds those of one minute.',
  concurrent: 'Requests at the same time.',
  tokensPerDay: 'Tokens of a day in UTC.',
};
const ACCESS: Words = {
  '': 'Who may call; without tokens, whitelist and binding any account of the network.',
  require: 'any: one of tokens, whitelist and binding suffices. all: each that is present must hold. Default: any.',
  tokens: 'True: holders of tokens issued for this Subcloud. Default: false.',
  whitelist: {
    '': 'Who is in any of the lists of names, and, where there are ranges, calls from inside; all empty admits nobody.',
    accounts: 'Accounts, as user:ID.',
    teams: 'Members of these teams, as team:ORG/ID.',
    orgs: 'Members of these organisations, as org:ID.',
    cidrs: 'Address ranges that callers must be inside; alone they admit any account from inside.',
  },
  binding:
    'All traffic of these goes here and nowhere else, once they accept: user:ID, team:ORG/ID, org:ID or token:ID.',
  limits: {
    '': 'What each caller may use.',
    ...LIMITS,
    total: { '': 'What all callers together may use.', ...LIMITS },
    dryRun: 'True: counts what would be refused, and refuses nothing. Default: false.',
  },
};
const ROUTING: Words = {
  '': 'How requests are routed inside the pool.',
  objective:
    'latency: where a request waits least. affinity: requests that begin alike go to one node, while it is not loaded more than others. Default: latency.',
  retries: 'Further nodes that are tried before an answer has begun, at most 5. Default: 2.',
  midstream:
    'continue: a stream whose node dies goes on at another one, where engines can; fail: it ends with an error event. Default: fail.',
  stallTimeout:
    'The longest that a node may be silent in the middle of an answer, from 1s to 10m; then midstream holds as for one that died. Default: 60s.',
  queue: {
    '': 'Where requests wait, in turns fair to each caller, while all nodes have as many as they take. Without it they do not wait.',
    max: 'Requests that wait at the same time, at most 10000. Default: 256.',
    timeout: 'The longest that one waits, from 100ms to 10m. Default: 20s.',
  },
};
const SLA: Words = {
  '': 'Quality of service.',
  capacity: {
    '': 'Places at its nodes.',
    reserve:
      'Requests at the same time, over all members, whose places other pools may not take; less in proportion where it exceeds what members have.',
  },
};
const APIS: Words = {
  '': 'Internal HTTP APIs that members host, at /s/NAME/apis/….',
  name: 'As agent.yaml of those who host it names it.',
  methods: 'Methods that callers may use.',
  paths: 'Paths that callers may use, exactly; * is one segment, ** at the end all that follow.',
};
const TESTS: Words = {
  '': 'Must hold for an apply to be accepted.',
  name: 'What the test shows.',
  node: {
    '': 'Facts of a node; what is not given is not known. Without models only the clauses under nodes are judged.',
    operator: 'Who owns the node.',
    location: { '': 'Where the machine is.', ...TEST_PLACE },
    operatorSeat: { '': 'Legal seat of who runs it.', ...TEST_PLACE },
    models: {
      '': 'Models that its engines report.',
      id: 'Model id.',
      digest: 'Of the weights.',
      quantization: 'Of the weights.',
      modalities: 'What it takes.',
      contextLength: 'Tokens.',
      audited: { '': 'Audits of its digest.', by: 'Who audited it.', age: 'How long ago, for example 30d.' },
    },
    hardware: {
      '': 'What the machine has.',
      gpus: {
        '': 'Its GPUs.',
        model: 'A name of the closed list.',
        vramGiB: 'Memory in GiB.',
        confidential: 'Whether confidential computing is on.',
        count: 'How many of these. Default: 1.',
      },
      ...TEST_ORIGIN,
    },
    trust: {
      '': 'How far node and operator are trusted.',
      level: 'Trust level.',
      reputation: '0 to 1.',
      stake: 'An amount and its unit.',
      ...TEST_ORIGIN,
    },
    uptime: { '': 'How much it was there.', d30: 'Share of the last 30 days, 0 to 1.', ...TEST_ORIGIN },
    labels: 'Labels of agent.yaml.',
  },
  expect: {
    '': 'What must come out.',
    eligible: 'Whether the node is eligible.',
    failing: 'Clauses that must be among those that fail, for example nodes.location.',
    models: 'Ids of the models that pass, all of them.',
  },
};
const HEAD: Words = { apiVersion: 'Version of the format.', kind: 'What is declared.' };

const SUBCLOUD: Words = {
  ...HEAD,
  metadata: {
    '': 'What it is called and whose it is.',
    name: 'A DNS label, unique in the network; it stands in URLs.',
    owner: 'user:ID, team:ORG/ID or org:ID; default: the caller.',
    displayName: 'For people.',
    labels: 'For people, and for the rules by which operators permit a Subcloud to take their nodes.',
  },
  spec: {
    '': 'What holds here.',
    models: MODELS,
    nodes: NODES,
    participation: {
      '': 'How nodes come in.',
      mode: 'open: an eligible node that asks is in. semi-open: it asks, and is in when it is admitted. private: only nodes that the owner assigns. Default: private.',
      admit: {
        '': 'Of semi-open: what lets in a node that asks. Default: approval.',
        any: {
          '': 'One of these suffices: approval (the owner approves the request), or a stake.',
          stake: 'An attested stake of at least this much: an amount and its unit.',
        },
      },
      autoJoin:
        'Eligible nodes whose operators permit it ask by themselves; needs mode open or semi-open. Default: false.',
      cooldown: 'How long before a node that left or was suspended returns. Default: 10m.',
    },
    isolation:
      'shared: members also serve other pools. isolate: not the global one. exclusive: no other pool at all. Default: shared.',
    access: ACCESS,
    sla: SLA,
    routing: ROUTING,
    apis: APIS,
    tests: TESTS,
  },
};
const NETWORK: Words = {
  ...HEAD,
  metadata: { '': 'The name is global.', name: 'global, and may be left out.' },
  spec: {
    '': 'What holds in the pool global.',
    models: MODELS,
    nodes: NODES,
    access: ACCESS,
    sla: SLA,
    routing: ROUTING,
    isolation: {
      '': 'Which Subclouds may isolate nodes, and how many.',
      allowedTo: 'Owners whose Subclouds may isolate; an organisation stands for its teams. Without it: everybody.',
      maxShare:
        'The most of the nodes of the network that isolating Subclouds may hold by auto-join; nodes whose operator owns or named the Subcloud are not counted. Default: 50%.',
    },
    tests: TESTS,
  },
};

/** The sentence for a dotted path (`spec.models.allow[].id`); undefined where there is none. */
export function describeManifestKey(path: string, kind: 'Subcloud' | 'Network'): string | undefined {
  let at: string | Words | undefined = kind === 'Subcloud' ? SUBCLOUD : NETWORK;
  for (const part of path.replaceAll('[]', '').split('.'))
    at = typeof at === 'object' && Object.hasOwn(at, part) ? at[part] : undefined;
  return typeof at === 'object' ? (at[''] as string | undefined) : at;
}
