/** What no single value shows: names that must exist elsewhere, and clauses that contradict each other. */
import { compileCel } from './cel/cel-expression.ts';
import { NODE_VARIABLES } from './cel/node-variables.ts';
import { CLAUSES } from './clauses/clause.ts';
import { compileGlob } from './glob.ts';
import type { NetworkManifest, NodesClause, SubcloudManifest } from './manifest.ts';
import {
  type LineOf,
  MAX_ERRORS,
  type ManifestError,
  type Path,
  didYouMean,
  dotted,
  isRecord,
  quoted,
  valueAt,
} from './parse-manifest-error.ts';
import { type PlaceRegistry, isCountry, isSubdivisionOf } from './place-registry.ts';
import { compilePlaces, isPlace, suggestPlace } from './places.ts';
import type { PolicyTest } from './policy-test-schema.ts';
import { closest } from './suggest.ts';
import { durationMs } from './units.ts';

type Add = (path: Path, message: string) => void;

/** Places of both lists of both clauses; judged before the schema, so that a misspelt one is told beside other faults. */
export function unknownPlaces(value: unknown, lineOf: LineOf, registry: PlaceRegistry): ManifestError[] {
  const errors: ManifestError[] = [];
  for (const clause of ['location', 'operatorSeat']) {
    for (const list of ['in', 'notIn']) {
      const path = ['spec', 'nodes', clause, list];
      const places = valueAt(value, path);
      if (!Array.isArray(places)) continue;
      places.forEach((place, index) => {
        // A hint costs a comparison with every name there is; nobody reads the fifty-first.
        if (typeof place !== 'string' || errors.length >= MAX_ERRORS) return;
        if (isPlace(place, registry)) return;
        const at = [...path, index];
        const hint = suggestPlace(place, registry);
        errors.push({
          code: 'invalid',
          path: dotted(at),
          line: lineOf(at),
          message: `${JSON.stringify(place.slice(0, 40))} is no place: use ISO 3166-1 or 3166-2 codes or a named domain${didYouMean(hint)}`,
        });
      });
    }
  }
  return errors;
}

export function contradictions(
  manifest: SubcloudManifest | NetworkManifest,
  lineOf: LineOf,
  registry: PlaceRegistry,
): ManifestError[] {
  const errors: ManifestError[] = [];
  const add: Add = (path, message) => {
    if (errors.length < MAX_ERRORS) errors.push({ code: 'invalid', path: dotted(path), line: lineOf(path), message });
  };
  checkModels(manifest, add);
  checkNodes(manifest.spec.nodes, registry, add);
  if (manifest.kind === 'Subcloud') checkIsolation(manifest, add);
  checkTests(manifest, add);
  return errors;
}

/** Every alias is matched against every glob, and a match may walk the product of their lengths. */
const MAX_GLOB_STEPS = 20_000_000;

function lengthOf(texts: readonly string[]): number {
  return texts.reduce((length, text) => length + text.length, 0);
}

function checkModels({ kind, spec: { models } }: SubcloudManifest | NetworkManifest, add: Add): void {
  const at = ['spec', 'models'];
  for (const key of ['dedicated', 'private'] as const)
    if (models[key] && models.allow === undefined)
      add([...at, key], `\`${key}\` needs \`allow\`, which says of which models it speaks`);
  if (kind === 'Network' && models.private)
    add([...at, 'private'], 'the Network manifest governs the global pool alone and cannot keep models out of others');
  const globs = (models.allow ?? [])
    .filter(({ id }) => /[*?]/.test(id))
    .map(({ id }) => ({ id, matches: compileGlob(id) }));
  const aliases = (models.allow ?? []).map(({ alias = '' }) => alias);
  const tooMany = lengthOf(globs.map(({ id }) => id)) * lengthOf(aliases) > MAX_GLOB_STEPS;
  if (tooMany) add([...at, 'allow'], 'more globs and aliases than can be told apart: use fewer of either');
  models.allow?.forEach(({ audited, alias }, index) => {
    const entry = [...at, 'allow', index];
    const taken = alias === undefined || tooMany ? undefined : globs.find(({ matches }) => matches(alias));
    if (taken !== undefined)
      add(
        [...entry, 'alias'],
        `the alias ${alias} is a name that ${taken.id} allows as well: a model of that id could not be called`,
      );
    if (audited?.maxAge !== undefined && durationMs(audited.maxAge) === 0)
      add([...entry, 'audited', 'maxAge'], 'must be more than 0');
    checkIssuers(audited?.by, [...entry, 'audited'], add);
  });
}

function checkIsolation({ spec: { isolation, participation } }: SubcloudManifest, add: Add): void {
  if (isolation === 'exclusive' && participation.autoJoin)
    add(
      ['spec', 'participation', 'autoJoin'],
      'an exclusive Subcloud takes no node by itself: each operator says yes by its name',
    );
}

function checkNodes(nodes: NodesClause, registry: PlaceRegistry, add: Add): void {
  const at = ['spec', 'nodes'];
  for (const name of ['location', 'operatorSeat', 'hardware', 'trust'] as const) {
    const clause = nodes[name];
    if (clause !== undefined) checkProvenance(clause, [...at, name], add);
  }
  for (const name of ['location', 'operatorSeat'] as const) {
    const clause = nodes[name];
    if (clause?.in !== undefined && clause.notIn !== undefined && leavesNothing(clause.in, clause.notIn, registry))
      add([...at, name, 'notIn'], '`notIn` leaves nothing of `in`: no node could pass');
  }
  if (nodes.hardware !== undefined && Object.keys(nodes.hardware.gpu).length === 0)
    add([...at, 'hardware', 'gpu'], 'needs `model`, `vramGiB`, `count` or `confidential`');
  if (durationMs(nodes.maxAge) === 0) add([...at, 'maxAge'], 'must be more than 0: no measurement is that young');
  if (nodes.where !== undefined) {
    const compiled = compileCel(nodes.where, NODE_VARIABLES);
    if (!compiled.ok) add([...at, 'where'], compiled.message);
  }
}

type Provenance = Pick<NonNullable<NodesClause['location']>, 'source' | 'by'>;

function checkProvenance({ source, by }: Provenance, at: Path, add: Add): void {
  if (Array.isArray(source)) {
    source.forEach((each, index) => {
      if (source.indexOf(each) < index) add([...at, 'source', index], `${each} stands twice`);
    });
    if (by !== undefined && !source.includes('attested'))
      add([...at, 'by'], '`by` says whose attestations count, and this `source` asks for none: add attested to it');
  }
  checkIssuers(by, at, add);
}

function checkIssuers(by: readonly string[] | undefined, at: Path, add: Add): void {
  by?.forEach((issuer, index) => {
    if (by.indexOf(issuer) < index) add([...at, 'by', index], `${issuer} stands twice`);
  });
}

function leavesNothing(inList: readonly string[], notInList: readonly string[], registry: PlaceRegistry): boolean {
  const places = compilePlaces(inList, notInList, registry);
  const members = inList.flatMap((name) => registry.domains.get(name)?.members ?? [name]);
  return members.every((code) => {
    const [country = '', subdivision] = code.split('-');
    return places.contains(subdivision === undefined ? { country } : { country, subdivision: code }) === 'no';
  });
}

function checkTests({ spec }: SubcloudManifest | NetworkManifest, add: Add): void {
  const present = clausesOf(spec);
  const names = new Map<string, number>();
  spec.tests.forEach((test, index) => {
    const at = ['spec', 'tests', index];
    if (names.has(test.name)) add([...at, 'name'], `another test has the name ${quoted(test.name)}`);
    names.set(test.name, index);
    checkTestNode(test.node, [...at, 'node'], add);
    checkExpectation(test, present, [...at, 'expect'], add);
  });
}

function checkExpectation({ node, expect }: PolicyTest, present: ReadonlySet<string>, at: Path, add: Add): void {
  const { eligible, failing = [], models } = expect;
  if (eligible && failing.length > 0) add([...at, 'failing'], 'an eligible node fails no clause');
  failing.forEach((clause, index) => {
    const path = [...at, 'failing', index];
    if (!(CLAUSES as readonly string[]).includes(clause))
      add(path, `${quoted(clause)} is no clause${didYouMean(closest(clause, CLAUSES))}`);
    else if (!present.has(clause)) add(path, `the manifest has no clause ${clause}, so it cannot fail`);
    else if (clause.startsWith('models.') && node.models === undefined)
      add(path, 'a test without `models` judges the clauses under `nodes` alone');
  });
  if (models !== undefined && node.models === undefined)
    add([...at, 'models'], 'a test without `models` judges the clauses under `nodes` alone');
  else if (models !== undefined && !eligible && models.length > 0)
    add([...at, 'models'], 'a node that is not eligible serves no model');
}

function checkTestNode(node: PolicyTest['node'], at: Path, add: Add): void {
  for (const name of ['location', 'operatorSeat'] as const) {
    const place = node[name];
    if (place === undefined) continue;
    if (!isCountry(place.country))
      add(
        [...at, name, 'country'],
        `${quoted(place.country)} is no country of ISO 3166-1${didYouMean(suggestPlace(place.country))}`,
      );
    else if (place.subdivision !== undefined && !isSubdivisionOf(place.subdivision, place.country))
      add([...at, name, 'subdivision'], `${quoted(place.subdivision)} is no subdivision of ${place.country}`);
  }
  for (const name of ['location', 'operatorSeat', 'hardware', 'trust', 'uptime'] as const) {
    const fact = node[name];
    if (fact?.by !== undefined && fact.source !== undefined && fact.source !== 'attested')
      add([...at, name, 'by'], 'only an attested fact is signed by somebody');
  }
  node.models?.forEach(({ digest, audited }, index) => {
    if (audited !== undefined && digest === undefined)
      add([...at, 'models', index, 'audited'], 'an audit is of a digest: give the model one');
  });
}

/** The clauses that a manifest has, as `decide` names them. */
function clausesOf({ nodes, models }: Pick<SubcloudManifest['spec'], 'nodes' | 'models'>): ReadonlySet<string> {
  const present = new Set<string>(['models.allow']);
  for (const name of ['operators', 'location', 'operatorSeat', 'hardware', 'labels', 'where'] as const)
    if (nodes[name] !== undefined) present.add(`nodes.${name}`);
  for (const name of ['level', 'reputation', 'stake'] as const)
    if (isRecord(nodes.trust) && nodes.trust[name] !== undefined) present.add(`nodes.trust.${name}`);
  if (models.dedicated) present.add('models.dedicated');
  for (const name of ['quantization', 'modalities'] as const)
    if (models[name] !== undefined) present.add(`models.${name}`);
  return present;
}
