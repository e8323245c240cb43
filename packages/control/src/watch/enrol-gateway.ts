/**
 * A gateway enters the network: a token that the admin made, and the key that the connection proved. From then on its id
 * belongs to that key. A token is good for one gateway; the same key may ask again, since it may have died before it
 * wrote the answer down.
 */
import type { GatewayEnrolmentRequest, GatewayEnrolmentResponse } from '@subcloud/contract/control-channel';
import { AppError } from '@subcloud/contract/errors';
import { type Clock, newId } from '@subcloud/kit/clock';
import { hashSecret, secretKind } from '@subcloud/kit/secrets';
import { appendAudit } from '../audit/append.ts';
import type { Loop } from '../loop.ts';
import { insertEvents } from '../store/events.ts';
import type { GatewayRecord } from '../world/gateway-record.ts';

/** Throws policy.join_refused for a token that opens nothing, client.conflict for an id or key that is taken. */
export async function enrolGateway(
  { loop, clock }: { readonly loop: Loop; readonly clock: Clock },
  { token, gateway: id }: GatewayEnrolmentRequest,
  publicKey: string,
): Promise<GatewayEnrolmentResponse> {
  const { world } = loop;
  if (secretKind(token) !== 'gateway') throw refused('This is no gateway token.');
  await loop.change(async (tx) => {
    const nowMs = clock.nowMs();
    const row = await tx
      .selectFrom('gateway_tokens')
      .select(['id', 'name', 'expires_at', 'revoked_at', 'gateway_id'])
      .where('hash', '=', hashSecret(token))
      .executeTakeFirst();
    if (row === undefined) throw refused('No such gateway token was made here.');
    if (row.revoked_at !== null) throw refused('The gateway token was revoked.');
    const owner = [...world.gateways.values()].find((gateway) => gateway.publicKey === publicKey);
    if (owner !== undefined && owner.removedAtMs !== null)
      throw refused('This key was removed from the network and never returns: use an empty data folder.');
    if (owner !== undefined && (owner.id !== id || owner.by !== 'tls'))
      throw new AppError('client.conflict', { message: `This key is that of gateway ${owner.id}.` });
    if (row.gateway_id === id && owner?.id === id) return { result: undefined, touched: [], apply: () => undefined };
    if (row.expires_at <= nowMs)
      throw refused(`The gateway token expired at ${new Date(row.expires_at).toISOString()}.`);
    if (row.gateway_id !== null) throw refused('The gateway token has been used: each is good for one gateway.');
    if (owner === undefined && world.gateways.has(id))
      throw new AppError('client.conflict', { message: `The id ${id} belongs to a gateway with another key.` });
    const record: GatewayRecord = owner ?? {
      id,
      name: row.name,
      url: null,
      by: 'tls',
      publicKey,
      enrolledAtMs: nowMs,
      removedAtMs: null,
    };
    if (owner === undefined)
      await tx
        .insertInto('gateways')
        .values({
          id,
          name: record.name,
          url: null,
          by: 'tls',
          public_key: publicKey,
          enrolled_at: nowMs,
          removed_at: null,
        })
        .execute();
    await tx.updateTable('gateway_tokens').set({ gateway_id: id }).where('id', '=', row.id).execute();
    await insertEvents(
      tx,
      [
        {
          kind: 'gateway.enrolled',
          node: null,
          subcloud: null,
          actor: `gateway:${id}`,
          reason: `gateway token ${row.id}`,
          detail: { id, name: record.name },
        },
      ],
      nowMs,
    );
    await appendAudit(tx, {
      at: nowMs,
      requestId: newId('req'),
      actor: `gateway-token:${row.id}`,
      role: 'gatewayToken',
      action: 'gateway.enrol',
      subject: `gateway:${id}`,
      outcome: 'done',
      code: null,
      reason: null,
      before: null,
      after: { name: record.name, publicKey },
    });
    return { result: undefined, touched: [], apply: () => void world.gateways.set(id, record) };
  });
  return { gateway: id, publicKey, networkId: world.networkId };
}

function refused(message: string): AppError {
  return new AppError('policy.join_refused', {
    message: `${message} Make one with \`subcloud gateway-token create\`.`,
  });
}
