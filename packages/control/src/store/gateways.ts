/** Gateways that may hold a lease from before a restart of control. */
import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import type { Clock } from '@subcloud/kit/clock';
import type { Database } from './database.ts';

/** A granted lease is written down at most this often; a reader adds it to be safe. */
const WRITE_MS = 20_000;

export interface GatewayStore {
  readonly urls: () => readonly { readonly id: string; readonly url: string }[];
  /** Leases that an earlier run may have granted: gateway -> end, monotonic ms. */
  readonly remembered: ReadonlyMap<string, number>;
  register(id: string, url: string): Promise<void>;
  /** Before the answer that grants: writes when the last write is old. */
  readonly leased: (id: string) => Promise<void>;
}

export async function openGatewayStore(db: Database, clock: Clock): Promise<GatewayStore> {
  const rows = await db.selectFrom('gateways').select(['id', 'url', 'leased_at']).execute();
  const nowMs = clock.nowMs();
  const live = rows.filter(({ leased_at }) => nowMs - leased_at < TABLE_LEASE_MS + WRITE_MS);
  const urls = new Map(live.map(({ id, url }) => [id, url]));
  const written = new Map<string, number>();
  return {
    urls: () => [...urls].map(([id, url]) => ({ id, url })),
    remembered: new Map(live.map(({ id }) => [id, clock.monotonicMs() + TABLE_LEASE_MS])),
    async register(id, url) {
      await db
        .insertInto('gateways')
        .values({ id, url, leased_at: clock.nowMs() })
        .onConflict((conflict) => conflict.column('id').doUpdateSet({ url, leased_at: clock.nowMs() }))
        .execute();
      urls.set(id, url);
      written.set(id, clock.monotonicMs());
    },
    async leased(id) {
      const now = clock.monotonicMs();
      if (now - (written.get(id) ?? -WRITE_MS) < WRITE_MS) return;
      await db.updateTable('gateways').set({ leased_at: clock.nowMs() }).where('id', '=', id).execute();
      written.set(id, now);
    },
  };
}
