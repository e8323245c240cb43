/** The way of an attestation into the store, for every route that takes one. */
import type { Actor } from '../access/actor.ts';
import { actorName } from '../access/actor.ts';
import { type Attestation, applyAttestation, factsTouched, nodesAbout, storeAttestation } from '../facts/attested.ts';
import type { AuditedChange } from '../audit/audited.ts';
import type { Transaction } from '../loop.ts';
import { insertEvents } from '../store/events.ts';
import { claimRows, claimView } from './claim-view.ts';
import { type WriteContext, withdrawn } from './context.ts';

/** Stores what `open` has checked, in one change; `open` runs inside it, so that a revocation cannot come in between. */
export async function attest(
  context: WriteContext,
  actor: Actor,
  open: (tx: Transaction) => Attestation | Promise<Attestation>,
): Promise<{
  change: 'created' | 'unchanged';
  claim: ReturnType<typeof claimView>;
  withdrawal: Awaited<ReturnType<typeof withdrawn>>;
}> {
  const { db, loop, clock } = context;
  const { result, tableVersion } = await loop.change(
    async (tx): Promise<AuditedChange<{ readonly id: string; readonly created: boolean }>> => {
      const nowMs = clock.nowMs();
      const attestation = await open(tx);
      const { subject, fact, issuer, expiresAt } = attestation;
      const { id, created, claim } = await storeAttestation(tx, attestation, nowMs);
      const state = { ...subject, fact, issuer, expiresAt };
      const audited = `claim:${id}`;
      if (!created) {
        const audit = { subject: audited, before: state, after: state };
        return { audit, result: { id, created }, touched: [], apply: () => undefined };
      }
      const node = 'node' in subject ? subject.node : null;
      await insertEvents(
        tx,
        [
          {
            kind: 'claim.created',
            node,
            subcloud: null,
            principal: attestation.issuerOwner,
            actor: actorName(actor),
            reason: `attested by ${issuer}`,
            detail: { id, fact, issuer, ...subject, expiresAt },
          },
        ],
        nowMs,
      );
      return {
        audit: { subject: audited, before: null, after: state },
        result: { id, created },
        touched: nodesAbout(loop.world, { node, digest: 'digest' in subject ? subject.digest : null }),
        scope: { facts: factsTouched(fact) },
        apply: (world) => applyAttestation(world, attestation, claim),
      };
    },
  );
  const row = await claimRows(db).where('claims.id', '=', result.id).executeTakeFirstOrThrow();
  return {
    change: result.created ? 'created' : 'unchanged',
    claim: claimView(loop.world, row, clock.nowMs()),
    withdrawal: await withdrawn(context, tableVersion),
  };
}
