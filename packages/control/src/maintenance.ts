/**
 * What time alone brings: nodes whose claims or invitations run out, liveness written down, node documents and the
 * signing certificate renewed, records past their keeping dropped.
 */
import { NODE_DOCUMENT_RENEW_MS } from '@subcloud/contract/documents';
import { rowKey } from '@subcloud/contract/table';
import type { Random } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import { sql } from 'kysely';
import { watchKeyExpiry } from './keys/expiry-watch.ts';
import type { Loop } from './loop.ts';
import { type PassContext, desiredOf, issue } from './pass.ts';
import { dueCheck } from './membership/due.ts';
import { IDEMPOTENCY_KEPT_MS } from './api/idempotency.ts';
import { tellLiveness } from './events/liveness.ts';
import { dropOldReceipts } from './receipts/drop-old-receipts.ts';
import { dropEvents } from './store/events.ts';
import { rollUpUsage } from './store/usage-report.ts';
import { slices } from './slices.ts';
import { saveDocuments } from './store/save.ts';
import { type GatewayAddress, gatewaysText } from './world/gateway-record.ts';
import type { DocumentRecord, NodeRecord } from './world/world.ts';

const EXPIRY_CHECK_MS = 1_000;
const LIVENESS_WRITE_MS = 60_000;
const LIVENESS_CHECK_MS = 5_000;
const RENEWAL_CHECK_MS = 60_000;
/** A gateway came or went: the documents that name the old ones are renewed over a while, not all at once. */
const GATEWAYS_CHECK_MS = 1_000;
const MAX_RENAMED_AT_ONCE = 200;
const WRITTEN_AT_ONCE = 2_000;
/** Documents that are signed in one turn of the loop. */
const RENEWED_AT_ONCE = 500;
const RETENTION_CHECK_MS = 3_600_000;
const DECISIONS_KEPT_MS = 86_400_000;
const EVENTS_KEPT_MS = 90 * 86_400_000;

export interface MaintenanceContext extends PassContext {
  readonly loop: Loop;
  readonly random: Random;
  readonly log: Log;
  /** Every gateway that some node document may name. */
  readonly allGateways: () => readonly GatewayAddress[];
}

export function startMaintenance(context: MaintenanceContext): { stop(): void } {
  const { world, clock, log } = context;
  const jitter = new Map<string, number>();
  const settled = { gateways: undefined };
  const liveness = new Map<string, number>();
  let livenessWrittenMs = clock.nowMs();
  let isLooking = false;

  const guarded = (what: string, task: () => Promise<unknown>) => (): void => {
    task().catch((error: unknown) => log.error({ err: error }, `${what} failed; it is tried again`));
  };
  const timers = [
    clock.every(
      EXPIRY_CHECK_MS,
      guarded('looking for what is due', async () => {
        if (isLooking) return;
        isLooking = true;
        await touchDue(context).finally(() => (isLooking = false));
      }),
    ),
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
      LIVENESS_CHECK_MS,
      guarded('telling which nodes are online', () => tellLiveness(context, liveness)),
    ),
    clock.every(
      RENEWAL_CHECK_MS,
      guarded('renewing documents', () => renew(context, jitter, (node) => isAged(context, jitter, node))),
    ),
    clock.every(
      GATEWAYS_CHECK_MS,
      guarded('naming gateways in documents', () => renameGateways(context, jitter, settled)),
    ),
    clock.every(
      RETENTION_CHECK_MS,
      guarded('dropping old records', async () => {
        const nowMs = clock.nowMs();
        await context.db
          .deleteFrom('decisions')
          .where('at', '<', nowMs - DECISIONS_KEPT_MS)
          .execute();
        await dropEvents(context.db, nowMs - EVENTS_KEPT_MS);
        await context.db
          .deleteFrom('idempotency_keys')
          .where('created_at', '<', nowMs - IDEMPOTENCY_KEPT_MS)
          .execute();
        await dropOldReceipts(context.db, nowMs);
        await rollUpUsage(context.db, nowMs);
      }),
    ),
  ];
  const expiry = watchKeyExpiry({ ring: context.authority.ring, clock, log });
  const stop = (): void => {
    expiry.stop();
    for (const timer of timers) timer.cancel();
  };
  return { stop };
}

/** In slices: what was confirmed together may be due together, a whole fleet of it. */
async function touchDue({ world, loop, clock }: MaintenanceContext): Promise<void> {
  const slice = slices(clock);
  let check = dueCheck(world, clock.nowMs());
  const due: string[] = [];
  for (const node of world.nodes.values()) {
    if (slice.due()) {
      await slice.pause();
      // What Subclouds ask for may have changed meanwhile.
      check = dueCheck(world, clock.nowMs());
    }
    if (check.isDue(node)) due.push(node.id);
  }
  loop.touch(due);
}

/** That a link confirms all that is measured follows from when the node was last seen, and is not written a second time. */
async function writeLiveness({ db }: PassContext, nodes: readonly NodeRecord[]): Promise<void> {
  // A whole fleet in one statement would keep its rows from everybody else for as long as that takes.
  for (let start = 0; start < nodes.length; start += WRITTEN_AT_ONCE) {
    const some = nodes.slice(start, start + WRITTEN_AT_ONCE);
    const ids = some.map(({ id }) => id);
    const seen = some.map(({ lastSeenAtMs }) => lastSeenAtMs ?? 0);
    await sql`update nodes set last_seen_at = given.at from unnest(${ids}::text[], ${seen}::bigint[]) as given (id, at) where nodes.id = given.id`.execute(
      db,
    );
  }
}

/** A spread of ±10 % keeps a fleet from renewing at once. */
function isAged(
  context: PassContext & { readonly random: Random },
  jitter: Map<string, number>,
  node: NodeRecord,
): boolean {
  const spread = jitter.get(node.id) ?? 0.9 + 0.2 * context.random();
  jitter.set(node.id, spread);
  const issuedAtMs = node.document?.issuedAtMs ?? 0;
  return context.clock.nowMs() - issuedAtMs >= NODE_DOCUMENT_RENEW_MS * spread;
}

async function renameGateways(
  context: MaintenanceContext,
  jitter: Map<string, number>,
  settled: { gateways: string | undefined },
): Promise<void> {
  const gateways = gatewaysText(context.allGateways());
  if (gateways === settled.gateways) return;
  const outdated = new Set<string>();
  for (const { id, document } of context.world.nodes.values()) {
    if (outdated.size >= MAX_RENAMED_AT_ONCE) break;
    if (document !== undefined && document.gateways !== gatewaysText(context.gatewayUrls(id))) outdated.add(id);
  }
  if (outdated.size > 0) await renew(context, jitter, ({ id }) => outdated.has(id));
  else settled.gateways = gateways;
}

/** Renewed documents say the same of memberships, with a later end. */
async function renew(
  context: PassContext & { readonly loop: Loop; readonly random: Random },
  jitter: Map<string, number>,
  isDue: (node: NodeRecord) => boolean,
): Promise<void> {
  const due = [...context.world.nodes.values()].filter(isDue).map(({ id }) => id);
  // Once at least: the signing certificate is renewed with them.
  for (let start = 0; start === 0 || start < due.length; start += RENEWED_AT_ONCE)
    await renewSome(context, jitter, due.slice(start, start + RENEWED_AT_ONCE), isDue);
}

async function renewSome(
  context: PassContext & { readonly loop: Loop },
  jitter: Map<string, number>,
  ids: readonly string[],
  isDue: (node: NodeRecord) => boolean,
): Promise<void> {
  const { world, clock, loop, table, authority } = context;
  await loop.change(async () => {
    const nowMs = clock.nowMs();
    const renewed: { node: NodeRecord; record: DocumentRecord }[] = [];
    for (const id of ids) {
      const node = world.nodes.get(id);
      const document = node?.document;
      if (node === undefined || document === undefined || !isDue(node)) continue;
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
