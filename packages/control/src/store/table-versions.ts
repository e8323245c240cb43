/** Table versions are reserved in blocks before they are used, so that a restart never uses one twice. */
import type { Database } from './database.ts';

const BLOCK = 10_000;

export interface TableVersions {
  /** The first version of this start. */
  readonly first: number;
  /** Resolves once every version up to `next` is reserved. */
  readonly reserve: (next: number) => Promise<void>;
}

/** `block`: how many are reserved at a time. */
export async function openTableVersions(db: Database, block = BLOCK): Promise<TableVersions> {
  const row = await db.selectFrom('network').select('table_version_reserved').executeTakeFirstOrThrow();
  let reserved = row.table_version_reserved;
  const first = reserved;
  return {
    first,
    async reserve(next) {
      if (next <= reserved) return;
      const upTo = next + block;
      await db.updateTable('network').set({ table_version_reserved: upTo }).execute();
      reserved = upTo;
    },
  };
}
