/** What happened, for people and for `events`: every change with its reason. */
import type { EventKind } from '@subcloud/contract/event-kinds';
import { type Kysely, sql } from 'kysely';
import type { Schema } from './schema.ts';

export interface NewEvent {
  readonly kind: EventKind;
  readonly node: string | null;
  /** The Subcloud's id. */
  readonly subcloud: string | null;
  /** The account, team or organisation that it is about, or that what it is about belongs to. */
  readonly principal?: string | null;
  /** Who did it: a principal, `admin`, `reconciler`, `gateway:ID`, `node:ID`. */
  readonly actor: string;
  readonly reason: string;
  /** Nothing secret, nothing of prompts or answers; and nothing that one of its readers may not know (events/audience.ts). */
  readonly detail: object;
}

/** Rows in one statement. As one parameter: the store parses a long list of rows for longer than it writes them. */
const BATCH = 2_000;

/** The transaction holds the end of the event log from here to its commit (migration 0018). */
export async function insertEvents(tx: Kysely<Schema>, events: readonly NewEvent[], atMs: number): Promise<void> {
  for (let start = 0; start < events.length; start += BATCH) {
    const rows = JSON.stringify(events.slice(start, start + BATCH));
    await sql`insert into events (at, kind, node_id, subcloud_id, principal, actor, reason, detail)
      select ${atMs}::bigint, kind, node, subcloud, principal, actor, reason, detail from jsonb_to_recordset(${rows}::jsonb)
      as given (kind text, node text, subcloud text, principal text, actor text, reason text, detail jsonb)`.execute(
      tx,
    );
  }
}

/**
 * Drops the beginning of the log, up to the first event that is as young as `atMs`, and remembers up to where: a reader that
 * would go on from before that is told so. In one statement, so that no reader sees the one without the other.
 */
export async function dropEvents(db: Kysely<Schema>, atMs: number): Promise<void> {
  await sql`
    with dropped as (
      delete from events where id < coalesce((select min(id) from events where at >= ${atMs}), ${Number.MAX_SAFE_INTEGER})
      returning id
    )
    update event_log set dropped_to = greatest(dropped_to, (select max(id) from dropped))`.execute(db);
}
