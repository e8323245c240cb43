/** Leases that outlive a restart of control, and what gateways say of themselves. */
import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import type { CertificateRequest } from '@subcloud/contract/watch';
import type { Clock } from '@subcloud/kit/clock';
import type { Presence } from '../watch/leases.ts';
import { leaseKey } from '../watch/leases.ts';
import type { GatewayAddress, GatewayRecord } from '../world/gateway-record.ts';
import type { World } from '../world/world.ts';
import type { Database } from './database.ts';

/** A granted lease is written down at most this often; a reader adds it to be safe. */
const WRITE_MS = 20_000;
/** The clocks of two control replicas may differ by so much: a lease that one wrote down is judged by the other. */
const SKEW_MS = 30_000;
/** Node documents name a gateway for this long after its last lease: time to come back without a turn of all documents. */
const NAMED_FOR_MS = 900_000;

export interface GatewayStore {
  /** Gateways that node documents name. */
  readonly addresses: () => readonly GatewayAddress[];
  /** Leases that an earlier run may have granted: `leaseKey` -> end, monotonic ms. */
  readonly remembered: ReadonlyMap<string, number>;
  /** Gateways that had a lease of late: an earlier run of control may have known links of theirs. */
  readonly known: ReadonlySet<string>;
  /** The last moment at which any gateway may have served anybody, monotonic ms; undefined: none ever has. */
  readonly servedUntilMs: number | undefined;
  /** What a gateway says when it asks for a certificate. */
  register(request: CertificateRequest): Promise<void>;
  /** Before the answer that grants: writes when the last write is old. */
  readonly leased: (id: string, boot: string) => Promise<void>;
  /** The process serves nobody any more. */
  readonly released: (id: string, boot: string) => Promise<void>;
}

export async function openGatewayStore(db: Database, world: World, clock: Clock): Promise<GatewayStore> {
  const nowMs = clock.nowMs();
  const rows = await db.selectFrom('gateway_leases').select(['gateway_id', 'boot', 'leased_at']).execute();
  const remembered = new Map<string, number>();
  const known = new Set<string>();
  const lastLeasedMs = new Map<string, number>();
  const written = new Map<string, number>();
  for (const { gateway_id: id, boot, leased_at } of rows) {
    lastLeasedMs.set(id, Math.max(lastLeasedMs.get(id) ?? 0, leased_at));
    if (nowMs - leased_at >= TABLE_LEASE_MS + WRITE_MS + SKEW_MS) continue;
    known.add(id);
    const presence: Presence = world.gateways.get(id)?.by === 'tls' ? 'many' : 'sole';
    remembered.set(leaseKey(id, boot, presence), clock.monotonicMs() + TABLE_LEASE_MS);
  }
  const last = await db
    .selectFrom('usage')
    .select((eb) => eb.fn.max('at').as('at'))
    .executeTakeFirst();
  const ends = [
    ...rows.map(({ leased_at }) => leased_at + TABLE_LEASE_MS + WRITE_MS),
    ...(last === undefined || last.at === null ? [] : [last.at]),
  ];
  const columnsOf = (record: GatewayRecord) => ({
    id: record.id,
    url: record.url,
    public_key: record.publicKey,
    by: record.by,
    name: record.name,
    enrolled_at: record.enrolledAtMs,
    removed_at: record.removedAtMs,
  });
  /** Takes nothing back of what the gateway says of itself at the same moment. */
  const introduce = async (record: GatewayRecord): Promise<void> => {
    await db
      .insertInto('gateways')
      .values(columnsOf(record))
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    if (!world.gateways.has(record.id)) world.gateways.set(record.id, record);
  };
  const save = async (record: GatewayRecord): Promise<void> => {
    const { id, url, publicKey } = record;
    await db
      .insertInto('gateways')
      .values(columnsOf(record))
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ url, public_key: publicKey }))
      .execute();
    world.gateways.set(id, record);
  };
  const bySocket = (id: string): GatewayRecord => ({
    id,
    name: null,
    url: null,
    by: 'socket',
    publicKey: null,
    enrolledAtMs: clock.nowMs(),
    removedAtMs: null,
  });

  return {
    addresses: () =>
      [...world.gateways.values()].flatMap(({ id, url, removedAtMs }) =>
        url !== null && removedAtMs === null && clock.nowMs() - (lastLeasedMs.get(id) ?? 0) < NAMED_FOR_MS
          ? [{ id, url }]
          : [],
      ),
    remembered,
    known,
    servedUntilMs: ends.length === 0 ? undefined : clock.monotonicMs() + Math.max(...ends) - nowMs,
    async register({ gateway: id, url, publicKey }) {
      const known = world.gateways.get(id) ?? bySocket(id);
      if (known.url !== url || known.publicKey !== publicKey) await save({ ...known, url, publicKey });
      lastLeasedMs.set(id, clock.nowMs());
    },
    async leased(id, boot) {
      lastLeasedMs.set(id, clock.nowMs());
      const now = clock.monotonicMs();
      const key = `${id}/${boot}`;
      if (now - (written.get(key) ?? -WRITE_MS) < WRITE_MS) return;
      const leasedAt = clock.nowMs();
      // A gateway by the socket may have its first lease before it has asked for a certificate.
      if (!world.gateways.has(id)) await introduce(bySocket(id));
      await db
        .deleteFrom('gateway_leases')
        .where('gateway_id', '=', id)
        .where('leased_at', '<', leasedAt - NAMED_FOR_MS)
        .execute();
      await db
        .insertInto('gateway_leases')
        .values({ gateway_id: id, boot, leased_at: leasedAt })
        .onConflict((conflict) => conflict.columns(['gateway_id', 'boot']).doUpdateSet({ leased_at: leasedAt }))
        .execute();
      for (const [other, atMs] of written) if (now - atMs > NAMED_FOR_MS) written.delete(other);
      written.set(key, now);
    },
    async released(id, boot) {
      written.delete(`${id}/${boot}`);
      await db.deleteFrom('gateway_leases').where('gateway_id', '=', id).where('boot', '=', boot).execute();
    },
  };
}
