import { AppError } from '@subcloud/contract/errors';
import type { EventKind } from '@subcloud/contract/event-kinds';
import type { GatewaySummary } from '@subcloud/contract/routes/gateways';
import type { Withdrawal } from '@subcloud/contract/routes/shapes';
import { newId } from '@subcloud/kit/clock';
import { hashSecret, joinTokenText, newSecret } from '@subcloud/kit/secrets';
import { actorName } from '../../access/actor.ts';
import { insertEvents } from '../../store/events.ts';
import type { GatewayRecord } from '../../world/gateway-record.ts';
import { type ApiContext, type Handlers, iso, isoOrNull, page } from '../context.ts';

type Routes = 'listGateways' | 'removeGateway' | 'createGatewayToken' | 'listGatewayTokens' | 'revokeGatewayToken';

export const gatewayHandlers: Pick<Handlers, Routes> = {
  listGateways(context, { query }) {
    const { items, next } = page([...context.loop.world.gateways.values()], ({ id }) => id, query);
    return { items: items.map((gateway) => gatewayView(context, gateway)), next };
  },

  /**
   * The watch and all connections end here. What the gateway was allowed to serve until, it may: that end is named, and
   * until then its lease counts in every withdrawal.
   */
  async removeGateway(context, { params: { id } }, actor) {
    const { loop, clock, leases, gatewayLinks } = context;
    const { tableVersion } = await loop.change(async (tx) => {
      const gateway = loop.world.gateways.get(id);
      if (gateway === undefined || gateway.removedAtMs !== null)
        throw new AppError('client.not_found', { message: `There is no gateway ${id}, or it was removed before.` });
      if (gateway.by === 'socket' && leases.of(id) !== undefined)
        throw new AppError('client.conflict', {
          message: `Gateway ${id} runs beside control and would only come back under another id: stop that process instead.`,
        });
      const nowMs = clock.nowMs();
      await tx.updateTable('gateways').set({ removed_at: nowMs }).where('id', '=', id).execute();
      await insertEvents(
        tx,
        [
          {
            kind: 'gateway.removed',
            node: null,
            subcloud: null,
            actor: actorName(actor),
            reason: 'by request',
            detail: { id, name: gateway.name },
          },
        ],
        nowMs,
      );
      return {
        audit: { subject: `gateway:${id}`, before: auditState(gateway), after: null },
        result: undefined,
        touched: [],
        apply: (world) => {
          world.gateways.set(id, { ...gateway, removedAtMs: nowMs });
          gatewayLinks.cut(gateway);
        },
      };
    });
    return leaseEnd(context, id, tableVersion);
  },

  async createGatewayToken({ loop, clock, authority }, { body }, actor) {
    const nowMs = clock.nowMs();
    const secret = newSecret('gateway');
    const id = newId('gwt');
    const expiresAt = nowMs + body.expiresInS * 1_000;
    await loop.change(async (tx) => {
      await tx
        .insertInto('gateway_tokens')
        .values({
          id,
          name: body.name ?? null,
          hash: hashSecret(secret),
          created_at: nowMs,
          expires_at: expiresAt,
          revoked_at: null,
          gateway_id: null,
        })
        .execute();
      await insertEvents(tx, [tokenEvent('gateway-token.created', id, actorName(actor))], nowMs);
      const after = { name: body.name ?? null, expiresAt: iso(expiresAt) };
      const audit = { subject: `gateway-token:${id}`, before: null, after };
      return { audit, result: undefined, touched: [], apply: () => undefined };
    });
    return { id, gatewayToken: joinTokenText(secret, authority.fingerprint), expiresAt: iso(expiresAt) };
  },

  async listGatewayTokens({ db }, { query }) {
    const rows = await db
      .selectFrom('gateway_tokens')
      .select(['id', 'name', 'created_at', 'expires_at', 'revoked_at', 'gateway_id'])
      .execute();
    const { items, next } = page(rows, ({ id }) => id, query);
    return {
      items: items.map((row) => ({
        id: row.id,
        name: row.name,
        createdAt: iso(row.created_at),
        expiresAt: iso(row.expires_at),
        revokedAt: isoOrNull(row.revoked_at),
        gateway: row.gateway_id,
      })),
      next,
    };
  },

  async revokeGatewayToken({ loop, clock }, { params: { id } }, actor) {
    const nowMs = clock.nowMs();
    await loop.change(async (tx) => {
      const row = await tx
        .updateTable('gateway_tokens')
        .set({ revoked_at: nowMs })
        .where('id', '=', id)
        .where('revoked_at', 'is', null)
        .returning(['name', 'expires_at'])
        .executeTakeFirst();
      if (row === undefined)
        throw new AppError('client.not_found', { message: `There is no live gateway token ${id}.` });
      await insertEvents(tx, [tokenEvent('gateway-token.revoked', id, actorName(actor))], nowMs);
      const before = { name: row.name, expiresAt: iso(row.expires_at) };
      const audit = { subject: `gateway-token:${id}`, before, after: null };
      return { audit, result: undefined, touched: [], apply: () => undefined };
    });
    return { revokedAt: iso(nowMs) };
  },
};

function auditState({ name, url, by, publicKey }: GatewayRecord) {
  return { name, url, by, publicKey };
}

function tokenEvent(kind: EventKind, id: string, actor: string) {
  return { kind, node: null, subcloud: null, actor, reason: 'by request', detail: { id } };
}

function gatewayView({ leases, clock, gatewayLinks }: ApiContext, gateway: GatewayRecord): GatewaySummary {
  const lease = leases.of(gateway.id);
  return {
    id: gateway.id,
    name: gateway.name,
    url: gateway.url,
    by: gateway.by,
    publicKey: gateway.publicKey,
    enrolledAt: isoOrNull(gateway.enrolledAtMs),
    removedAt: isoOrNull(gateway.removedAtMs),
    watching: gatewayLinks.watching(gateway.id),
    leaseEndsAt: lease === undefined ? null : iso(clock.nowMs() + lease.endsAtMs - clock.monotonicMs()),
    tableVersion: lease?.acknowledged ?? null,
  };
}

function leaseEnd({ leases, clock }: ApiContext, gateway: string, tableVersion: number): Withdrawal {
  const lease = leases.of(gateway);
  if (lease === undefined) return { complete: true, tableVersion, outstanding: [] };
  const leaseEndsAt = iso(Math.ceil(clock.nowMs() + lease.endsAtMs - clock.monotonicMs()));
  return { complete: false, tableVersion, outstanding: [{ gateway, leaseEndsAt }] };
}
