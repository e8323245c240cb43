/** Gateways as control knows them. A removed one stays known for ever: its key and id never return. */
import { createHash } from 'node:crypto';
import type { Database } from '../store/database.ts';

export interface GatewayRecord {
  readonly id: string;
  readonly name: string | null;
  /** Where agents and callers reach it; null before it has first asked for a certificate. */
  readonly url: string | null;
  /** `socket`: it shares control's folder, and whoever can open the socket in it may be any of these. */
  readonly by: 'tls' | 'socket';
  /** Raw Ed25519 key, base64url; of one `by: 'tls'` always known. */
  readonly publicKey: string | null;
  readonly enrolledAtMs: number | null;
  readonly removedAtMs: number | null;
}

export interface GatewayAddress {
  readonly id: string;
  readonly url: string;
}

/** An agent keeps a link to each gateway that its document names. */
const MAX_NAMED = 8;

/**
 * The gateways that a node's document names: all of them, or of more than eight those with the highest hash of the pair
 * (rendezvous hashing: Thaler and Ravishankar, 1998), so that each node keeps seven of its eight when one comes or goes
 * and the nodes are spread evenly.
 */
export function gatewaysOf(node: string, all: readonly GatewayAddress[]): readonly GatewayAddress[] {
  const sorted = all.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  if (sorted.length <= MAX_NAMED) return sorted;
  const weight = (id: string): string => createHash('sha256').update(`${node}/${id}`).digest('hex');
  const chosen = new Set(
    sorted
      .map(({ id }) => ({ id, weight: weight(id) }))
      .toSorted((a, b) => (a.weight < b.weight ? 1 : -1))
      .slice(0, MAX_NAMED)
      .map(({ id }) => id),
  );
  return sorted.filter(({ id }) => chosen.has(id));
}

/** Equal for equal lists. */
export function gatewaysText(gateways: readonly GatewayAddress[]): string {
  return gateways.map(({ id, url }) => `${id} ${url}`).join('\n');
}

export async function loadGateways(db: Database): Promise<Map<string, GatewayRecord>> {
  const rows = await db
    .selectFrom('gateways')
    .select(['id', 'name', 'url', 'by', 'public_key', 'enrolled_at', 'removed_at'])
    .execute();
  return new Map(
    rows.map((row) => [
      row.id,
      {
        id: row.id,
        name: row.name,
        url: row.url,
        by: row.by === 'tls' ? 'tls' : 'socket',
        publicKey: row.public_key,
        enrolledAtMs: row.enrolled_at,
        removedAtMs: row.removed_at,
      },
    ]),
  );
}
