/**
 * What time alone brings: nodes whose claims or invitations run out, liveness written down, node documents and the
 * signing certificate renewed, records past their keeping dropped.
 */
import { NODE_DOCUMENT_RENEW_MS } from '@subcloud/contract/documents';
import { rowKey } from '@subcloud/contract/table';
import type { Random } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import { sql } from 'kysely';
import type { Loop } from './loop.ts';
import { type PassContext, desiredOf, issue } from './pass.ts';
import { dueCheck } from './membership/due.ts';
import { saveDocuments } from './store/save.ts';
import type { DocumentRecord, NodeRecord } from './world/world.ts';

const EXPIRY_CHECK_MS = 1_000;
const LIVENESS_WRITE_MS = 60_000;
const RENEWAL_CHECK_MS = 60_000;
const RETENTION_CHECK_MS = 3_600_000;
const DECISIONS_KEPT_MS = 86_400_000;
const EVENTS_KEPT_MS = 90 * 86_400_000;

export function startMaintenance(
  context: PassContext & { readonly loop: Loop; readonly random: Random; readonly log: Log },
): { stop(): void } {
  const { world, loop, clock, log } = context;
  const jitter = new Map<string, number>();
  let livenessWrittenMs = clock.nowMs();

  const guarded = (what: string, task: () => Promise<unknown>) => (): void => {
    task().catch((error: unknown) => log.error({ err: error }, `${what} failed; it is tried again`));
  };
  const timers = [
    clock.every(EXPIRY_CHECK_MS, () => {
      const { isDue } = dueCheck(world, clock.nowMs());
      loop.touch([...world.nodes.values()].filter(isDue).map(({ id }) => id));
    }),
    clock.every(
      LIVENESS_WRITE_MS,
      guarded('writing liveness', async () => {
        const since = livenessWrittenMs;
        livenessWrittenMs = clock.nowMs();
        await writeLiveness(
          context,
          [...world.nodes.values()].filter(({ lastSeenAtMs }) => lastSeenAtMs !== null && lastSeenAtMs >= since),
        );
      }),
    ),
    clock.every(
      RENEWAL_CHECK_MS,
      guarded('renewing documents', () => renew(context, jitter)),
    ),
    clock.every(
      RETENTION_CHECK_MS,
      guarded('dropping old records', async () => {
        const nowMs = clock.nowMs();
        await context.db
          .deleteFrom('decisions')
          .where('at', '<', nowMs - DECISIONS_KEPT_MS)
          .execute();
        await context.db
          .deleteFrom('events')
          .where('at', '<', nowMs - EVENTS_KEPT_MS)
          .execute();
      }),
    ),
  ];
  return { stop: () => timers.forEach((timer) => timer.cancel()) };
}

/** That a link confirms all that is measured follows from when the node was last seen, and is not written a second time. */
async function writeLiveness({ db }: PassContext, nodes: readonly NodeRecord[]): Promise<void> {
  if (nodes.length === 0) return;
  const ids = nodes.map(({ id }) => id);
  const seen = nodes.map(({ lastSeenAtMs }) => lastSeenAtMs ?? 0);
  await sql`update nodes set last_seen_at = given.at from unnest(${ids}::text[], ${seen}::bigint[]) as given (id, at) where nodes.id = given.id`.execute(
    db,
  );
}

/** Renewed documents say the same with a later end; a spread of ±10 % keeps a fleet from renewing at once. */
async function renew(
  context: PassContext & { readonly loop: Loop; readonly random: Random },
  jitter: Map<string, number>,
): Promise<void> {
  const { world, clock, loop, table, authority } = context;
  await loop.change(async () => {
    const nowMs = clock.nowMs();
    const renewed: { node: NodeRecord; record: DocumentRecord }[] = [];
    for (const node of world.nodes.values()) {
      const { document } = node;
      if (document === undefined) continue;
      const spread = jitter.get(node.id) ?? 0.9 + 0.2 * context.random();
      jitter.set(node.id, spread);
      if (nowMs - document.issuedAtMs < NODE_DOCUMENT_RENEW_MS * spread) continue;
      // A document that differs from what is wanted is the pass's to replace, in its order; not here.
      const desired = desiredOf(world, node);
      const record = issue(context, node, desired, nowMs, true);
      if (
        record.content.size !== document.content.size ||
        [...record.content].some(([pool, models]) => models.join() !== document.content.get(pool)?.join())
      )
        continue;
      renewed.push({ node, record });
    }
    if (renewed.length > 0)
      await saveDocuments(
        context.db,
        renewed.map(({ node, record }) => ({ node: node.id, record })),
      );
    return {
      result: undefined,
      touched: renewed.map(({ node }) => node.id),
      apply: () => {
        for (const { node, record } of renewed) {
          node.document = record;
          jitter.delete(node.id);
        }
        if (authority.renewIfDue())
          table.stage('network', rowKey.network(), { networkId: world.networkId, chain: authority.chain() });
      },
    };
  });
}
