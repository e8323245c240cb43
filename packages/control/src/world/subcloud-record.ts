/** A stored revision to what the reconciler and the table need of it. */
import { createHash } from 'node:crypto';
import { canonicalJson } from '@subcloud/policy/canonical-json';
import { type CompiledPolicy, compilePolicy } from '@subcloud/policy/decide';
import {
  ANY_MODEL,
  GLOBAL_POOL,
  GLOBAL_SPEC,
  type NetworkManifest,
  type SubcloudManifest,
  type SubcloudSpec,
  networkManifest,
} from '@subcloud/policy/manifest';
import { BUILT_IN_PLACES, type PlaceRegistry } from '@subcloud/policy/place-registry';
import type { PrincipalId } from '@subcloud/policy/principal';
import { durationMs } from '@subcloud/policy/units';
import { GLOBAL_ID, type SubcloudRecord } from './world.ts';

/** An allow-list that is not there, as one. */
const ANY: readonly string[] = ['**'];

export interface StoredRevision {
  readonly id: string;
  readonly owner: PrincipalId;
  readonly revision: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly manifest: SubcloudManifest;
  readonly source: string;
}

/** `registry`: what place names mean to this owner. Throws PlaceListError for a name that it does not hold. */
export function subcloudRecord(stored: StoredRevision, registry: PlaceRegistry = BUILT_IN_PLACES): SubcloudRecord {
  const { metadata, spec } = stored.manifest;
  const policy = compilePolicy(spec, { owner: stored.owner, registry });
  return {
    id: stored.id,
    name: metadata.name,
    owner: stored.owner,
    revision: stored.revision,
    createdAtMs: stored.createdAtMs,
    updatedAtMs: stored.updatedAtMs,
    manifest: stored.manifest,
    network: null,
    source: stored.source,
    effectiveHash: sha256(canonicalJson({ manifest: stored.manifest, domains: policy.domains })),
    participation: spec.participation,
    cooldownMs: durationMs(spec.participation.cooldown),
    labels: metadata.labels ?? {},
    allows: spec.models.allow?.map(({ id }) => id) ?? ANY,
    isolation: spec.isolation,
    access: spec.access,
    routing: spec.routing,
    reserve: spec.sla?.capacity?.reserve,
    ...admissionOf(stored, policy, registry),
  };
}

/** A stake admits by a policy of its own, whose facts the Subcloud's decision reads too. */
function admissionOf(
  { owner, manifest: { spec } }: StoredRevision,
  policy: CompiledPolicy,
  registry: PlaceRegistry,
): { readonly policy: CompiledPolicy; readonly stakes?: readonly CompiledPolicy[] } {
  const stakes = (spec.participation.admit?.any ?? []).flatMap((way) =>
    way === 'approval'
      ? []
      : [
          compilePolicy(
            { models: ANY_MODEL, nodes: stakedNodes(way.stake, spec.nodes.maxAge), apis: spec.apis },
            { owner, registry },
          ),
        ],
  );
  if (stakes.length === 0) return { policy };
  return {
    policy: { ...policy, reads: new Set([...policy.reads, ...stakes.flatMap(({ reads }) => [...reads])]) },
    stakes,
  };
}

function stakedNodes(min: string, maxAge: string): SubcloudSpec['nodes'] {
  return { trust: { stake: { min }, source: 'attested' }, maxAge };
}

/** The hash of what the owner wrote, whatever its spelling. */
export function contentHash(manifest: SubcloudManifest | NetworkManifest): string {
  return sha256(canonicalJson(manifest));
}

/** The pool `global` under the Network manifest's default, which is its first revision. */
export function globalRecord(createdAtMs: number): SubcloudRecord {
  const manifest = networkManifest.parse({ apiVersion: 'subcloud/v1', kind: 'Network' });
  const source = 'apiVersion: subcloud/v1\nkind: Network\n';
  return networkRecord({ revision: 1, createdAtMs, updatedAtMs: createdAtMs, manifest, source });
}

export interface StoredNetworkRevision extends Omit<StoredRevision, 'id' | 'owner' | 'manifest'> {
  readonly manifest: NetworkManifest;
}

/** The pool `global` under a Network manifest. `registry` holds the network's own domains and no owner's. */
export function networkRecord(
  stored: StoredNetworkRevision,
  registry: PlaceRegistry = BUILT_IN_PLACES,
): SubcloudRecord {
  const { manifest } = stored;
  const policy = compilePolicy(manifest.spec, { owner: null, registry });
  return {
    id: GLOBAL_ID,
    name: GLOBAL_POOL,
    owner: null,
    revision: stored.revision,
    createdAtMs: stored.createdAtMs,
    updatedAtMs: stored.updatedAtMs,
    manifest: null,
    network: manifest,
    source: stored.source,
    effectiveHash: sha256(canonicalJson({ manifest, domains: policy.domains })),
    participation: GLOBAL_SPEC.participation,
    cooldownMs: durationMs(GLOBAL_SPEC.participation.cooldown),
    labels: {},
    allows: manifest.spec.models.allow?.map(({ id }) => id) ?? ANY,
    isolation: GLOBAL_SPEC.isolation,
    access: manifest.spec.access,
    routing: manifest.spec.routing,
    reserve: manifest.spec.sla?.capacity?.reserve,
    policy,
  };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
