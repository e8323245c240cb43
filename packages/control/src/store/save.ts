/** What a pass writes: memberships with an event each, and node documents. Memberships go in one transaction; documents are
 * independent of each other. */
import { sql } from 'kysely';
import type { Membership, MembershipChange } from '../membership/reconcile.ts';
import type { DocumentRecord } from '../world/world.ts';
import type { Database } from './database.ts';
import { type NewEvent, insertEvents } from './events.ts';

/** Rows in one statement, well below PostgreSQL's 65,535 parameters. */
const BATCH = 500;
const MEMBERSHIPS_AT_ONCE = 2_000;

export async function saveMemberships(
  db: Database,
  changes: readonly (MembershipChange & { readonly node: string })[],
  nowMs: number,
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const upserts = changes.flatMap(({ node, subcloudId, to }) =>
      to === null ? [] : [membershipRow(node, subcloudId, to)],
    );
    for (let start = 0; start < upserts.length; start += MEMBERSHIPS_AT_ONCE) {
      const given = JSON.stringify(upserts.slice(start, start + MEMBERSHIPS_AT_ONCE));
      // One parameter: the store parses a long list of rows for longer than it writes them.
      await sql`insert into memberships
          (node_id, subcloud_id, state, reason, since, active_since, assigned, cooldown_from, drains_to)
        select node_id, subcloud_id, state, reason, since, active_since, assigned, cooldown_from, drains_to
        from jsonb_to_recordset(${given}::jsonb) as given (node_id text, subcloud_id text, state text, reason text,
          since bigint, active_since bigint, assigned boolean, cooldown_from bigint, drains_to text)
        on conflict (node_id, subcloud_id) do update set state = excluded.state, reason = excluded.reason,
          since = excluded.since, active_since = excluded.active_since, assigned = excluded.assigned,
          cooldown_from = excluded.cooldown_from, drains_to = excluded.drains_to`.execute(tx);
    }
    const ended = changes.filter(({ to }) => to === null);
    if (ended.length > 0) {
      const nodes = ended.map(({ node }) => node);
      const subclouds = ended.map(({ subcloudId }) => subcloudId);
      await sql`delete from memberships using unnest(${nodes}::text[], ${subclouds}::text[]) as given (node, subcloud) where memberships.node_id = given.node and memberships.subcloud_id = given.subcloud`.execute(
        tx,
      );
    }
    const events = changes
      .filter(({ from, to }) => from?.state !== to?.state)
      .map(
        ({ node, subcloudId, from, to }): NewEvent => ({
          kind: `membership.${to?.state ?? 'ended'}`,
          node,
          subcloud: subcloudId,
          actor: 'reconciler',
          reason: to?.reason ?? 'isolation',
          detail: { from: from?.state ?? null },
        }),
      );
    await insertEvents(tx, events, nowMs);
  });
}

export function membershipRow(node: string, subcloudId: string, membership: Membership) {
  return {
    node_id: node,
    subcloud_id: subcloudId,
    state: membership.state,
    reason: membership.reason,
    since: membership.sinceMs,
    active_since: membership.activeSinceMs,
    assigned: membership.assigned,
    cooldown_from: membership.cooldownFromMs,
    drains_to: membership.drainsTo,
  };
}

export async function saveDocuments(
  db: Database,
  documents: readonly { readonly node: string; readonly record: DocumentRecord }[],
): Promise<void> {
  const rows = documents.map(({ node, record }) => ({
    node_id: node,
    epoch: record.epoch,
    serial: record.serial,
    table_version: record.tableVersion,
    document: JSON.stringify(record.document),
    agreed: JSON.stringify(Object.fromEntries(record.agreed)),
    acknowledged: record.acknowledged,
    issued_at: record.issuedAtMs,
  }));
  for (let start = 0; start < rows.length; start += BATCH) {
    await db
      .insertInto('node_documents')
      .values(rows.slice(start, start + BATCH))
      .onConflict((conflict) =>
        conflict.column('node_id').doUpdateSet((row) => ({
          epoch: row.ref('excluded.epoch'),
          serial: row.ref('excluded.serial'),
          table_version: row.ref('excluded.table_version'),
          document: row.ref('excluded.document'),
          agreed: row.ref('excluded.agreed'),
          acknowledged: row.ref('excluded.acknowledged'),
          issued_at: row.ref('excluded.issued_at'),
        })),
      )
      .execute();
  }
}
