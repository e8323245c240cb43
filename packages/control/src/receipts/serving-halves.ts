/**
 * Nodes' halves of receipts, as gateways pass them on. A half counts where the node vouches for the key of that pool, the
 * root is over just these leaves, and control knows that this node served that request, or a part of it, there: so nobody can fill the store
 * with receipts of what never was, or sign for another.
 */
import { type ServingBatch, endorsementText, servingHalf } from '@subcloud/contract/receipts';
import type { ReceiptsRequest } from '@subcloud/contract/watch';
import { treePaths, treeRoot } from '@subcloud/kit/receipt-tree';
import { DocumentError, openDocument, verifyText } from '@subcloud/kit/signing';
import { sql } from 'kysely';
import type { Transaction } from '../loop.ts';
import type { Database } from '../store/database.ts';
import type { World } from '../world/world.ts';
import { pseudonymIn } from '../world/pseudonym-in.ts';
import type { ReceiptContext } from './routing-halves.ts';
import { type VouchedBatch, saveBatch, signingKeyOf } from './vouched.ts';

type NodeBatch = ReceiptsRequest['batches'][number];

export interface ServingHalves {
  store(request: ReceiptsRequest): Promise<void>;
}

/** Keys of nodes that control has certified and still remembers. */
const MAX_CERTIFIED = 100_000;

export function createServingHalves(
  context: ReceiptContext & { readonly db: Database; readonly world: () => World },
): ServingHalves {
  const certified = new Map<string, Pick<VouchedBatch, 'certificate' | 'signingKey' | 'networkKey'>>();

  /** Throws DocumentError where the node does not vouch for the key. */
  const certify = ({ node, pool, publicKey, endorsement }: NodeBatch) => {
    const { authority } = context;
    const world = context.world();
    const record = world.nodes.get(node);
    const pseudonym = pseudonymIn(world, pool, node);
    if (record === undefined || pseudonym === undefined) throw new DocumentError('the node or the pool is gone');
    const key = [node, pool, publicKey, authority.signingKey].join('\n');
    const known = certified.get(key);
    if (known !== undefined) return known;
    if (!verifyText(record.publicKey, endorsementText(world.networkId, node, pool, publicKey), endorsement))
      throw new DocumentError('the node does not vouch for the key');
    const certificate = authority.signReceiptKey({ pool, node: pseudonym, publicKey });
    const signingKey = signingKeyOf(authority, certificate);
    if (signingKey === undefined) throw new DocumentError('the signing key has no certificate');
    if (certified.size >= MAX_CERTIFIED) certified.clear();
    const made = { certificate, signingKey, networkKey: authority.networkKey };
    certified.set(key, made);
    return made;
  };

  const opened = (batch: NodeBatch): VouchedBatch | undefined => {
    try {
      const { count, root, networkId } = openDocument(batch.document, 'receipt-batch', batch.publicKey);
      if (networkId !== context.world().networkId) throw new DocumentError('the batch is of another network');
      if (count !== batch.leaves.length || root !== treeRoot(batch.leaves))
        throw new DocumentError('other leaves were signed');
      return { document: batch.document, ...certify(batch) };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      context.log.warn({ node: batch.node, pool: batch.pool, why }, 'receipts of a node were refused');
      return undefined;
    }
  };

  return {
    async store({ batches }) {
      const held = batches.flatMap((batch) => {
        const vouched = opened(batch);
        return vouched === undefined ? [] : [{ batch, vouched }];
      });
      if (held.length === 0) return;
      await context.db.transaction().execute(async (tx) => {
        for (const { batch, vouched } of held) await saveLeaves(tx, batch, vouched, context.clock.nowMs());
      });
    },
  };
}

async function saveLeaves(tx: Transaction, batch: NodeBatch, vouched: VouchedBatch, nowMs: number): Promise<void> {
  const rows = leavesOf(batch);
  if (rows.length === 0) return;
  const hash = await saveBatch(tx, vouched, nowMs);
  const [ids, indexes, leaves, paths] = [
    rows.map(({ requestId }) => requestId),
    rows.map(({ index }) => index),
    rows.map(({ leaf }) => leaf),
    rows.map(({ path }) => JSON.stringify(path)),
  ];
  await sql`
    insert into receipt_halves (request_id, side, at, principal, node_id, pool, batch, index, leaf, path)
    select given.id, 'serving', known.at, known.principal, ${batch.node}, known.pool, ${hash}, given.index, given.leaf, given.path::jsonb
    from unnest(${ids}::text[], ${indexes}::int[], ${leaves}::text[], ${paths}::text[]) as given (id, index, leaf, path)
    join receipt_halves known on known.request_id = given.id and known.side = 'routing'
      and (known.node_id = ${batch.node} or known.earlier @> to_jsonb(${batch.node}::text)) and known.pool = ${batch.pool}
    on conflict (request_id, side, node_id) do nothing`.execute(tx);
}

function leavesOf({ pool, leaves }: ServingBatch) {
  const paths = treePaths(leaves);
  return leaves.flatMap((leaf, index) => {
    const half = servingHalf.safeParse(jsonOf(leaf));
    if (!half.success || half.data.pool !== pool) return [];
    return [{ requestId: half.data.requestId, index, leaf, path: paths[index] ?? [] }];
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
