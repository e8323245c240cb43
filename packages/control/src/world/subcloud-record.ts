/** A stored revision to what the reconciler and the table need of it. */
import { createHash } from 'node:crypto';
import { canonicalJson } from '@subcloud/policy/canonical-json';
import { compilePolicy } from '@subcloud/policy/decide';
import { GLOBAL_POOL, GLOBAL_SPEC, type SubcloudManifest } from '@subcloud/policy/manifest';
import type { PrincipalId } from '@subcloud/policy/principal';
import { GLOBAL_ID, type SubcloudRecord } from './world.ts';

export interface StoredRevision {
  readonly id: string;
  readonly owner: PrincipalId;
  readonly revision: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly manifest: SubcloudManifest;
  readonly source: string;
}

export function subcloudRecord(stored: StoredRevision): SubcloudRecord {
  const { metadata, spec } = stored.manifest;
  const policy = compilePolicy(spec);
  return {
    id: stored.id,
    name: metadata.name,
    owner: stored.owner,
    revision: stored.revision,
    createdAtMs: stored.createdAtMs,
    updatedAtMs: stored.updatedAtMs,
    manifest: stored.manifest,
    source: stored.source,
    effectiveHash: sha256(canonicalJson({ manifest: stored.manifest, domains: policy.domains })),
    participation: spec.participation,
    isolation: spec.isolation,
    access: spec.access,
    policy,
  };
}

/** The hash of what the owner wrote, whatever its spelling. */
export function contentHash(manifest: SubcloudManifest): string {
  return sha256(canonicalJson(manifest));
}

/** The pool `global` under the Network manifest's default. */
export function globalRecord(createdAtMs: number): SubcloudRecord {
  const policy = compilePolicy(GLOBAL_SPEC);
  return {
    id: GLOBAL_ID,
    name: GLOBAL_POOL,
    owner: null,
    revision: 1,
    createdAtMs,
    updatedAtMs: createdAtMs,
    manifest: null,
    source: 'apiVersion: subcloud/v1\nkind: Network\n',
    effectiveHash: sha256(canonicalJson({ manifest: GLOBAL_SPEC, domains: policy.domains })),
    participation: GLOBAL_SPEC.participation,
    isolation: GLOBAL_SPEC.isolation,
    access: GLOBAL_SPEC.access,
    policy,
  };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
