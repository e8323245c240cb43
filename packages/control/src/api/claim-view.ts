/** A claim as the API shows it. */
import type { claimRecord } from '@subcloud/contract/routes/claims';
import { confirmedAtMs, indexFacts } from '@subcloud/policy/facts';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Kysely } from 'kysely';
import type * as z from 'zod';
import { countedOf } from '../facts/counted.ts';
import { claimOf } from '../facts/load-claims.ts';
import type { Schema } from '../store/schema.ts';
import { factsOf } from '../world/facts-of.ts';
import type { World } from '../world/world.ts';
import { iso, isoOrNull } from './context.ts';

export type ClaimRecord = z.infer<typeof claimRecord>;
export type ClaimRow = Awaited<ReturnType<ReturnType<typeof claimRows>['execute']>>[number];

/** Claims of nodes that are still there, and audits. */
export function claimRows(db: Pick<Kysely<Schema>, 'selectFrom'>) {
  return db
    .selectFrom('claims')
    .leftJoin('nodes', 'nodes.id', 'claims.node_id')
    .select(['claims.id', 'claims.node_id', 'claims.digest', 'claims.fact', 'claims.value', 'claims.source'])
    .select(['claims.issuer', 'claims.issuer_owner', 'claims.issued_at', 'claims.confirmed_at', 'claims.expires_at'])
    .select(['claims.revoked_at', 'claims.revoked_by'])
    .where('nodes.removed_at', 'is', null);
}

export function claimView(world: World, row: ClaimRow, nowMs: number): ClaimRecord {
  const node = row.node_id === null ? undefined : world.nodes.get(row.node_id);
  // Heartbeats confirm in memory long before the store hears of it.
  const claim = node?.claims.find(({ id }) => id === row.id) ?? claimOf(row);
  const { counted, why } =
    row.revoked_by === null
      ? countedOf(claim, node === undefined ? undefined : indexFacts(factsOf(world, node)), nowMs)
      : { counted: false, why: row.revoked_by === 'superseded' ? 'superseded' : 'revoked' };
  return {
    id: row.id,
    node: row.node_id,
    digest: row.digest,
    fact: row.fact,
    value: row.value,
    source: row.source as ClaimRecord['source'],
    issuer: row.issuer,
    issuerOwner: row.issuer_owner as PrincipalId | null,
    issuedAt: iso(row.issued_at),
    confirmedAt: iso(
      node === undefined || claim.source !== 'measured'
        ? claim.confirmedAt
        : confirmedAtMs(claim, factsOf(world, node)),
    ),
    expiresAt: isoOrNull(row.expires_at),
    revokedAt: isoOrNull(row.revoked_at),
    revokedBy: row.revoked_by,
    counted,
    why,
  };
}
