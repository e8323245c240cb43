/** What happened, for people and for `events`: every change with its reason. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from './schema.ts';

export interface NewEvent {
  readonly kind: string;
  readonly node: string | null;
  /** The Subcloud's id. */
  readonly subcloud: string | null;
  /** Who did it: a principal, `admin`, `reconciler`, `gateway:ID`, `node:ID`. */
  readonly actor: string;
  readonly reason: string;
  /** Nothing secret, nothing of prompts or answers. */
  readonly detail: object;
}

/** Rows in one statement. As one parameter: the store parses a long list of rows for longer than it writes them. */
const BATCH = 2_000;

export async function insertEvents(tx: Kysely<Schema>, events: readonly NewEvent[], atMs: number): Promise<void> {
  for (let start = 0; start < events.length; start += BATCH) {
    const rows = JSON.stringify(events.slice(start, start + BATCH));
    await sql`insert into events (at, kind, node_id, subcloud_id, actor, reason, detail)
      select ${atMs}::bigint, kind, node, subcloud, actor, reason, detail from jsonb_to_recordset(${rows}::jsonb)
      as given (kind text, node text, subcloud text, actor text, reason text, detail jsonb)`.execute(tx);
  }
}
