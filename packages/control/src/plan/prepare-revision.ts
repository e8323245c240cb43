/** A manifest's text to the revision that it would be: what apply stores, and plan and shadow compare. */
import { AppError } from '@subcloud/contract/errors';
import { newId } from '@subcloud/kit/clock';
import { GLOBAL_POOL, type NetworkManifest, type SubcloudManifest } from '@subcloud/policy/manifest';
import { type ParsedManifest, parseManifest } from '@subcloud/policy/parse-manifest';
import type { PlaceRegistry } from '@subcloud/policy/place-registry';
import type { PolicyTestResult } from '@subcloud/policy/policy-tests';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Actor } from '../access/actor.ts';
import { may, mayForPrincipal, requirePrincipal } from '../access/authorise.ts';
import { registryFor, registryOf } from '../world/domains.ts';
import { mayIsolate } from '../world/isolation-rules.ts';
import { contentHash, networkRecord, subcloudRecord } from '../world/subcloud-record.ts';
import type { SubcloudRecord, World } from '../world/world.ts';
import { failingTests } from './failing-tests.ts';

export interface PreparedRevision {
  readonly manifest: SubcloudManifest | NetworkManifest;
  readonly source: string;
  readonly contentHash: string;
  /** Undefined: there is no Subcloud of this name yet. */
  readonly existing: SubcloudRecord | undefined;
  /** What would be in force. */
  readonly record: SubcloudRecord;
  /** The revision in force has the same content. */
  readonly isUnchanged: boolean;
  readonly failingTests: readonly PolicyTestResult[];
}

/**
 * Throws config.invalid_manifest, client.invalid_request, client.conflict and policy.forbidden as an apply does. Under the
 * name `global` the text is the Network manifest.
 */
export function prepareRevision(
  world: World,
  actor: Actor,
  name: string,
  source: string,
  nowMs: number,
): PreparedRevision {
  if (name === GLOBAL_POOL) return prepareNetwork(world, actor, source, nowMs);
  const usable = [...world.domains.values()].filter(
    ({ owner }) => owner === null || mayForPrincipal(world, actor, owner, 'domain.read'),
  );
  const first = parsedSubcloud(source, registryOf(usable));
  if (first.metadata.name !== name) {
    throw new AppError('client.invalid_request', {
      message: `The manifest declares ${first.metadata.name}, the path names ${name}.`,
      param: 'metadata.name',
    });
  }
  const existing = existingFor(actor, world, name);
  const owner = ownerOf(world, first, existing, actor);
  requireName(world, name, owner, nowMs);
  requireMayIsolate(world, first, owner);
  const registry = registryFor(world.domains.values(), owner);
  // The admin may use everybody's domains, but no Subcloud those of another owner.
  const manifest = parsedSubcloud(source, registry);
  const hash = contentHash(manifest);
  const record = subcloudRecord(
    {
      id: existing?.id ?? newId('scl'),
      owner,
      revision: (existing?.revision ?? 0) + 1,
      createdAtMs: existing?.createdAtMs ?? nowMs,
      updatedAtMs: nowMs,
      manifest,
      source,
    },
    registry,
  );
  const inForce = existing?.manifest ?? null;
  return {
    manifest,
    source,
    contentHash: hash,
    existing,
    record,
    isUnchanged: inForce !== null && contentHash(inForce) === hash,
    failingTests: failingTests(manifest, owner, registry),
  };
}

function prepareNetwork(world: World, actor: Actor, source: string, nowMs: number): PreparedRevision {
  const existing = existingFor(actor, world, GLOBAL_POOL);
  if (existing === undefined) throw new Error('the world has no global network');
  const registry = registryFor(world.domains.values(), null);
  const { manifest } = parsedManifest(source, 'Network', registry);
  const { createdAtMs, network } = existing;
  const hash = contentHash(manifest);
  const revision = existing.revision + 1;
  return {
    manifest,
    source,
    contentHash: hash,
    existing,
    record: networkRecord({ revision, createdAtMs, updatedAtMs: nowMs, manifest, source }, registry),
    isUnchanged: network !== null && contentHash(network) === hash,
    failingTests: failingTests(manifest, null, registry),
  };
}

/** Throws config.failing_tests, naming them. */
export function requireTests({ failingTests: failing }: Pick<PreparedRevision, 'failingTests'>): void {
  const [first] = failing;
  if (first === undefined) return;
  throw new AppError('config.failing_tests', {
    message: `${failing.length === 1 ? 'A test' : `${failing.length} tests`} of the manifest ${failing.length === 1 ? 'does' : 'do'} not hold; ${failing.length === 1 ? '' : 'the first is '}${JSON.stringify(first.name)}: ${first.message}`,
    details: { tests: failing },
  });
}

/** Parses text for one kind; throws config.invalid_manifest with every fault. */
export function parsedManifest<Kind extends 'Subcloud' | 'Network'>(
  text: string,
  wanted: Kind,
  registry?: PlaceRegistry,
): Extract<ParsedManifest, { kind: Kind }> {
  const parsed = parseManifest(text, registry === undefined ? {} : { registry });
  if (!parsed.ok) {
    const first = parsed.errors[0];
    const where =
      first === undefined
        ? ''
        : `${first.line === null ? '' : `line ${first.line}: `}${first.path === '' ? '' : `${first.path}: `}${first.message}`;
    throw new AppError('config.invalid_manifest', {
      message: `${parsed.errors.length === 1 ? 'The manifest has a fault' : `The manifest has ${parsed.errors.length} faults; the first`}: ${where}`,
      details: { errors: parsed.errors },
    });
  }
  if (parsed.kind !== wanted)
    throw new AppError('config.invalid_manifest', {
      message: `This route takes a manifest of kind ${wanted}.`,
      details: { errors: [{ code: 'invalid', path: 'kind', line: null, message: `must be ${wanted}` }] },
    });
  return parsed as Extract<ParsedManifest, { kind: Kind }>;
}

function parsedSubcloud(text: string, registry: PlaceRegistry): SubcloudManifest {
  return parsedManifest(text, 'Subcloud', registry).manifest;
}

/** The name of a deleted Subcloud is kept from others for so long: its callers still have it in their configuration. */
export const NAME_KEPT_MS = 365 * 86_400_000;

/** To others a kept name is taken, in the same words: whose it was is not theirs to know. */
function requireName(world: World, name: string, owner: PrincipalId, nowMs: number): void {
  const retired = world.retiredNames.get(name);
  if (retired === undefined || retired.owner === owner || nowMs - retired.deletedAtMs >= NAME_KEPT_MS) return;
  if (!world.subcloudByName.has(name)) throw nameTaken(name);
}

function requireMayIsolate(world: World, { spec }: SubcloudManifest, owner: PrincipalId): void {
  if (spec.isolation === 'shared' || mayIsolate(world.subclouds, owner)) return;
  throw new AppError('policy.forbidden', {
    message: `The Network manifest (spec.isolation.allowedTo) does not let Subclouds of ${owner} isolate: ask the admin of the network, or leave isolation shared.`,
    param: 'spec.isolation',
  });
}

function nameTaken(name: string): AppError {
  return new AppError('client.conflict', { message: `The name ${name} is taken.` });
}

/** The Subcloud that an apply changes; undefined makes a new one. A name that is taken says so and nothing more: names are unique, so this much cannot be hidden. */
function existingFor(actor: Actor, world: World, name: string): SubcloudRecord | undefined {
  const existing = world.subclouds.get(world.subcloudByName.get(name) ?? '');
  if (existing === undefined || may(world, actor, { kind: 'subcloud', subcloud: existing })) return existing;
  throw nameTaken(name);
}

function ownerOf(
  world: World,
  manifest: SubcloudManifest,
  existing: SubcloudRecord | undefined,
  actor: Actor,
): PrincipalId {
  const asked = manifest.metadata.owner;
  if (existing !== undefined && existing.owner !== null) {
    if (asked !== undefined && asked !== existing.owner)
      throw new AppError('policy.forbidden', {
        message: `${existing.name} belongs to ${existing.owner}; a revision cannot change that.`,
      });
    return existing.owner;
  }
  const owner = asked ?? (actor.kind === 'principal' ? actor.principal : undefined);
  if (owner === undefined)
    throw new AppError('client.invalid_request', {
      message: 'The admin token acts for nobody: name metadata.owner.',
      param: 'metadata.owner',
    });
  requirePrincipal(world, actor, owner, 'create Subclouds');
  return owner;
}
