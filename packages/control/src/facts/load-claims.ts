/** Claims and attesters as the store has them, into a world whose nodes are there already. */
import type { Claim } from '@subcloud/policy/facts';
import { canonicalJson } from '@subcloud/policy/canonical-json';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Database } from '../store/database.ts';
import type { World } from '../world/world.ts';
import { withAudits } from './audits.ts';

export async function loadClaims(db: Database, world: World): Promise<void> {
  await loadAttesters(db, world);
  for await (const row of claimRows(db)) {
    if (row.revoked_at !== null) {
      if (row.node_id === null) continue;
      const known = world.revokedStatements.get(row.node_id) ?? [];
      const { id, fact, source, issuer } = row;
      world.revokedStatements.set(row.node_id, [
        ...known,
        { id, fact, source, issuer, text: canonicalJson(row.value) },
      ]);
      continue;
    }
    const claim = claimOf(row);
    if (row.node_id !== null) world.nodes.get(row.node_id)?.claims.push(claim);
    else if (row.digest !== null) world.audits.set(row.digest, [...(world.audits.get(row.digest) ?? []), claim]);
  }
  for (const node of world.nodes.values()) node.claims = withAudits(world.audits, node.claims);
}

/** A fleet's claims in parts: all of them as rows beside all of them as claims would be twice the memory for a moment. */
const ROWS_AT_ONCE = 20_000;

async function* claimRows(db: Database) {
  const page = (after: string) =>
    db
      .selectFrom('claims')
      .select(['id', 'node_id', 'digest', 'fact', 'value', 'source', 'issuer', 'issuer_owner'])
      .select(['issued_at', 'confirmed_at', 'expires_at', 'revoked_at'])
      .where((where) => where.or([where('revoked_at', 'is', null), where('source', '!=', 'attested')]))
      .where('id', '>', after)
      .orderBy('id')
      .limit(ROWS_AT_ONCE)
      .execute();
  for (let coming = page(''); ; ) {
    const rows = await coming;
    const last = rows.at(-1);
    if (last === undefined || rows.length < ROWS_AT_ONCE) return yield* rows;
    // The store reads the next ones while these become claims.
    coming = page(last.id);
    coming.catch(() => undefined);
    yield* rows;
  }
}

export function claimOf(row: {
  readonly id: string;
  readonly fact: string;
  readonly value: unknown;
  readonly source: string;
  readonly issuer: string;
  readonly issuer_owner: string | null;
  readonly issued_at: number;
  readonly confirmed_at: number;
  readonly expires_at: number | null;
}): Claim {
  return {
    id: row.id,
    fact: row.fact,
    value: row.value,
    source: row.source,
    issuer: row.issuer,
    ...(row.source === 'attested' ? { issuerOwner: row.issuer_owner } : {}),
    issuedAt: row.issued_at,
    confirmedAt: row.confirmed_at,
    expiresAt: row.expires_at,
  } as unknown as Claim;
}

async function loadAttesters(db: Database, world: World): Promise<void> {
  const rows = await db
    .selectFrom('attesters')
    .select(['name', 'public_key', 'owner', 'facts', 'operators', 'created_at', 'revoked_at'])
    .execute();
  for (const row of rows) {
    world.attesters.set(row.name, {
      name: row.name,
      publicKey: row.public_key,
      owner: row.owner as PrincipalId | null,
      facts: new Set(row.facts as readonly string[]),
      operators: row.operators === null ? null : new Set(row.operators as readonly string[]),
      createdAtMs: row.created_at,
      revokedAtMs: row.revoked_at,
    });
  }
}
