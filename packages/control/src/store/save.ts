/** What a pass writes: memberships with an event each, and node documents. Memberships go in one transaction; documents are
 * independent of each other. */
import type { MembershipChange } from '../membership/reconcile.ts';
import type { DocumentRecord } from '../world/world.ts';
import type { Database } from './database.ts';
import { type NewEvent, insertEvents } from './events.ts';

/** Rows in one statement, well below PostgreSQL's 65,535 parameters. */
const BATCH = 500;

export async function saveMemberships(
  db: Database,
  changes: readonly (MembershipChange & { readonly node: string })[],
  nowMs: number,
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const upserts = changes.flatMap(({ node, subcloudId, to }) =>
      to === null
        ? []
        : [
            {
              node_id: node,
              subcloud_id: subcloudId,
              state: to.state,
              reason: to.reason,
              since: to.sinceMs,
              active_since: to.activeSinceMs,
              assigned: to.assigned,
            },
          ],
    );
    for (let start = 0; start < upserts.length; start += BATCH) {
      await tx
        .insertInto('memberships')
        .values(upserts.slice(start, start + BATCH))
        .onConflict((conflict) =>
          conflict.columns(['node_id', 'subcloud_id']).doUpdateSet((row) => ({
            state: row.ref('excluded.state'),
            reason: row.ref('excluded.reason'),
            since: row.ref('excluded.since'),
            active_since: row.ref('excluded.active_since'),
            assigned: row.ref('excluded.assigned'),
          })),
        )
        .execute();
    }
    for (const { node, subcloudId, to } of changes) {
      if (to === null)
        await tx.deleteFrom('memberships').where('node_id', '=', node).where('subcloud_id', '=', subcloudId).execute();
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
