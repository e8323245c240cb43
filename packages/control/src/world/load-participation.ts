/** Bans in force and the answers of operators, as the store has them. */
import type { Isolation } from '@subcloud/policy/consent';
import type { Database } from '../store/database.ts';
import type { OperatorAnswer } from './answers.ts';
import type { BanKind, BanRecord } from './bans.ts';
import type { World } from './world.ts';

export async function loadBans(db: Database): Promise<Map<string, BanRecord>> {
  const rows = await db
    .selectFrom('bans')
    .select(['id', 'subcloud_id', 'kind', 'subject', 'reason', 'banned_by', 'at'])
    .where('lifted_at', 'is', null)
    .execute();
  return new Map(
    rows.map(({ id, subcloud_id: subcloudId, kind, subject, reason, banned_by: by, at: atMs }) => [
      id,
      { id, subcloudId, kind: kind as BanKind, subject, reason, by, atMs },
    ]),
  );
}

export async function loadAnswers(db: Database, world: Pick<World, 'nodes'>): Promise<void> {
  const rows = await db
    .selectFrom('operator_answers')
    .select(['node_id', 'subcloud_id', 'answer', 'isolation', 'answered_by', 'at'])
    .execute();
  for (const row of rows) {
    const node = world.nodes.get(row.node_id);
    if (node === undefined) continue;
    const { answer, isolation, answered_by: by, at: atMs } = row;
    const known = { answer: answer as OperatorAnswer['answer'], isolation: isolation as Isolation, by, atMs };
    node.answers = new Map([...node.answers, [row.subcloud_id, known]]);
  }
}
