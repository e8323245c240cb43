import { AppError } from '@subcloud/contract/errors';
import { sql } from 'kysely';
import { operatedNode } from '../../access/authorise.ts';
import { type NvidiaAttestation, NVIDIA_ISSUER, type NvidiaVerifier } from '../../facts/nvidia-attestation.ts';
import type { Transaction } from '../../loop.ts';
import { attest } from '../attest.ts';
import { type ApiContext, type Handlers, iso } from '../context.ts';

export const attestationHandlers: Pick<Handlers, 'nvidiaChallenge' | 'nvidiaAttestation'> = {
  nvidiaChallenge(context, { params }, actor) {
    const node = operatedNode(actor, context.loop.world, params.id);
    const { challenge, nonce, expiresAtMs } = verifierOf(context).challenge(node);
    return { challenge, nonce, expiresAt: iso(expiresAtMs) };
  },

  async nvidiaAttestation(context, { params, body }, actor) {
    const node = operatedNode(actor, context.loop.world, params.id);
    // Outside of the change: it may ask the attestation service for its keys.
    const attestation = await verifierOf(context).verify(node, body.token);
    return attest(context, actor, async (tx) => {
      operatedNode(actor, context.loop.world, params.id);
      await requireOwnDevices(tx, node.id, attestation, context.clock.nowMs());
      return attestation;
    });
  },
};

function verifierOf({ nvidia }: ApiContext): NvidiaVerifier {
  if (nvidia !== undefined) return nvidia;
  throw new AppError('client.not_found', {
    message: 'This network takes no NVIDIA attestations: its admin has not set nvidiaJwksUrl.',
  });
}

/** One device vouches for one node: else a single confidential GPU could answer the challenges of a whole fleet. */
async function requireOwnDevices(
  tx: Transaction,
  node: string,
  { devices }: NvidiaAttestation,
  nowMs: number,
): Promise<void> {
  const other = await tx
    .selectFrom('claims')
    .select('id')
    .where('issuer', '=', NVIDIA_ISSUER)
    .where('source', '=', 'attested')
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', nowMs)
    .where('node_id', '!=', node)
    .where(sql<boolean>`document -> 'devices' ?| ${[...devices]}::text[]`)
    .executeTakeFirst();
  if (other !== undefined)
    throw new AppError('policy.claim_refused', {
      message: 'The attestation token is refused: a device of it vouches for another node at this moment.',
    });
}
