import { AppError } from '@subcloud/contract/errors';
import { newId } from '@subcloud/kit/clock';
import { hashSecret, newSecret } from '@subcloud/kit/secrets';
import type { PrincipalId } from '@subcloud/policy/principal';
import { actorName } from '../../access/actor.ts';
import { ownedSubcloud } from '../../access/authorise.ts';
import { stageCredential } from '../../compile/access-rows.ts';
import { insertEvents } from '../../store/events.ts';
import { GLOBAL_ID } from '../../world/world.ts';
import { type Handlers, iso, isoOrNull, page, withdrawn } from '../context.ts';
import { requireKnown } from './principals.ts';

export const tokenHandlers: Pick<Handlers, 'createToken' | 'listTokens' | 'revokeToken'> = {
  async createToken({ loop, clock, pass }, { params, body }, actor) {
    const nowMs = clock.nowMs();
    const token = newSecret('subcloud');
    const id = newId('tok');
    const expiresAt = body.expiresInS === undefined ? null : nowMs + body.expiresInS * 1_000;
    const { result } = await loop.change(async (tx) => {
      const subcloud = ownedSubcloud(actor, loop.world, params.name);
      if (subcloud.id === GLOBAL_ID || subcloud.owner === null)
        throw new AppError('client.conflict', { message: 'The global network is opened by account keys.' });
      const principal = body.principal ?? (actor.kind === 'principal' ? actor.principal : subcloud.owner);
      await requireKnown(tx, principal);
      const hash = hashSecret(token);
      await tx
        .insertInto('subcloud_tokens')
        .values({
          id,
          subcloud_id: subcloud.id,
          principal,
          name: body.name ?? null,
          hash,
          created_at: nowMs,
          expires_at: expiresAt,
          revoked_at: null,
        })
        .execute();
      await insertEvents(
        tx,
        [
          {
            kind: 'token.created',
            node: null,
            subcloud: subcloud.id,
            actor: actorName(actor),
            reason: 'by request',
            detail: { id, principal },
          },
        ],
        nowMs,
      );
      return {
        audit: {
          subject: `token:${id}`,
          before: null,
          after: { subcloud: subcloud.name, principal, name: body.name ?? null, expiresAt: isoOrNull(expiresAt) },
        },
        result: principal,
        touched: [],
        apply: (world) => {
          const row = { id, kind: 'subcloud', principal, pool: subcloud.name, expiresAt } as const;
          world.credentials.set(hash, row);
          stageCredential(world, pass.table, hash, row);
        },
      };
    });
    return { id, subcloud: params.name, principal: result, token, expiresAt: isoOrNull(expiresAt) };
  },

  async listTokens({ db, loop }, { params, query }, actor) {
    const subcloud = ownedSubcloud(actor, loop.world, params.name);
    const rows = await db
      .selectFrom('subcloud_tokens')
      .select(['id', 'principal', 'name', 'created_at', 'expires_at', 'revoked_at'])
      .where('subcloud_id', '=', subcloud.id)
      .execute();
    const { items, next } = page(rows, ({ id }) => id, query);
    return {
      items: items.map((row) => ({
        id: row.id,
        name: row.name,
        principal: row.principal as PrincipalId,
        createdAt: iso(row.created_at),
        expiresAt: isoOrNull(row.expires_at),
        revokedAt: isoOrNull(row.revoked_at),
      })),
      next,
    };
  },

  async revokeToken(context, { params }, actor) {
    const { loop, clock, pass } = context;
    const { tableVersion } = await loop.change(async (tx) => {
      const subcloud = ownedSubcloud(actor, loop.world, params.name);
      const nowMs = clock.nowMs();
      const row = await tx
        .updateTable('subcloud_tokens')
        .set({ revoked_at: nowMs })
        .where('id', '=', params.id)
        .where('subcloud_id', '=', subcloud.id)
        .where('revoked_at', 'is', null)
        .returning(['hash', 'principal', 'name'])
        .executeTakeFirst();
      if (row === undefined)
        throw new AppError('client.not_found', { message: `${params.name} has no live token ${params.id}.` });
      await insertEvents(
        tx,
        [
          {
            kind: 'token.revoked',
            node: null,
            subcloud: subcloud.id,
            actor: actorName(actor),
            reason: 'by request',
            detail: { id: params.id },
          },
        ],
        nowMs,
      );
      const before = { subcloud: subcloud.name, principal: row.principal, name: row.name };
      return {
        audit: { subject: `token:${params.id}`, before, after: null },
        result: undefined,
        touched: [],
        apply: (world) => {
          world.credentials.delete(row.hash);
          stageCredential(world, pass.table, row.hash, undefined);
        },
      };
    });
    return withdrawn(context, tableVersion);
  },
};
