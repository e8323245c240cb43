import { AppError } from '@subcloud/contract/errors';
import type { EventKind } from '@subcloud/contract/event-kinds';
import { newId } from '@subcloud/kit/clock';
import { hashSecret, newSecret } from '@subcloud/kit/secrets';
import type { PrincipalId } from '@subcloud/policy/principal';
import { actorName } from '../../access/actor.ts';
import type { Actor } from '../../access/actor.ts';
import { ownedSubcloud } from '../../access/authorise.ts';
import { previousRow, termsOfToken, tokenRow } from '../../access/token-rows.ts';
import { stageCredential } from '../../compile/access-rows.ts';
import type { Transaction } from '../../loop.ts';
import { requireRoom } from '../../quotas/quotas.ts';
import { insertEvents } from '../../store/events.ts';
import { type Handlers, iso, isoOrNull, page, withdrawn } from '../context.ts';
import { requireKnown } from './principals.ts';

type Names = 'createToken' | 'listTokens' | 'rotateToken' | 'revokeToken';

export const tokenHandlers: Pick<Handlers, Names> = {
  async createToken({ loop, clock, pass }, { params, body }, actor) {
    const nowMs = clock.nowMs();
    const token = newSecret('subcloud');
    const id = newId('tok');
    const expiresAt = body.expiresInS === undefined ? null : nowMs + body.expiresInS * 1_000;
    const { result } = await loop.change(async (tx) => {
      const subcloud = ownedSubcloud(actor, loop.world, params.name);
      const principal = body.principal ?? (actor.kind === 'principal' ? actor.principal : subcloud.owner);
      if (principal === null)
        throw new AppError('client.invalid_request', {
          message: `body.principal: say for whom a token of ${subcloud.name} acts; the admin token acts for nobody.`,
          param: 'principal',
        });
      await requireKnown(tx, principal);
      const { owner } = subcloud;
      // Those of the global network are its admin's, who sets quotas and has none.
      if (owner !== null) await requireRoom(tx, { world: loop.world, actor, owner, adds: { tokens: 1 }, nowMs });
      const { scopes = null, models = null, limits = null } = body;
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
          scopes: scopes === null ? null : JSON.stringify(scopes),
          models: models === null ? null : JSON.stringify(models),
          limits: limits === null ? null : JSON.stringify(limits),
          last_used_at: null,
          previous_hash: null,
          previous_until: null,
        })
        .execute();
      await told(tx, 'token.created', subcloud.id, actor, { id, principal }, nowMs);
      const row = tokenRow({ id, principal, expires_at: expiresAt, scopes, models, limits, pool: subcloud.name });
      return {
        audit: {
          subject: `token:${id}`,
          before: null,
          after: {
            subcloud: subcloud.name,
            principal,
            name: body.name ?? null,
            expiresAt: isoOrNull(expiresAt),
            ...termsOfToken({ scopes, models, limits }),
          },
        },
        result: principal,
        touched: [],
        apply: (world) => {
          world.credentials.set(hash, row);
          stageCredential(world, pass.table, hash, row);
        },
      };
    });
    return { id, subcloud: params.name, principal: result, token, expiresAt: isoOrNull(expiresAt) };
  },

  async listTokens({ db, loop, clock }, { params, query }, actor) {
    const subcloud = ownedSubcloud(actor, loop.world, params.name);
    const rows = await db
      .selectFrom('subcloud_tokens')
      .select(['id', 'principal', 'name', 'created_at', 'expires_at', 'revoked_at', 'last_used_at', 'previous_until'])
      .select(['scopes', 'models', 'limits'])
      .where('subcloud_id', '=', subcloud.id)
      .execute();
    const { items, next } = page(rows, ({ id }) => id, query);
    const nowMs = clock.nowMs();
    return {
      items: items.map((row) => ({
        id: row.id,
        name: row.name,
        principal: row.principal as PrincipalId,
        createdAt: iso(row.created_at),
        expiresAt: isoOrNull(row.expires_at),
        revokedAt: isoOrNull(row.revoked_at),
        lastUsedAt: isoOrNull(row.last_used_at),
        previousUntil: isoOrNull(
          row.previous_until === null || row.previous_until <= nowMs ? null : row.previous_until,
        ),
        ...termsOfToken(row),
      })),
      next,
    };
  },

  async rotateToken(context, { params, body }, actor) {
    const { loop, clock, pass } = context;
    const token = newSecret('subcloud');
    const hash = hashSecret(token);
    const nowMs = clock.nowMs();
    const untilMs = nowMs + body.overlapS * 1_000;
    const { tableVersion } = await loop.change(async (tx) => {
      const subcloud = ownedSubcloud(actor, loop.world, params.name);
      const before = await tx
        .selectFrom('subcloud_tokens')
        .select(['id', 'principal', 'hash', 'previous_hash', 'expires_at', 'scopes', 'models', 'limits'])
        .where('id', '=', params.id)
        .where('subcloud_id', '=', subcloud.id)
        .where('revoked_at', 'is', null)
        .executeTakeFirst();
      if (before === undefined) throw notLive(params);
      await tx
        .updateTable('subcloud_tokens')
        .set({ hash, previous_hash: before.hash, previous_until: untilMs })
        .where('id', '=', params.id)
        .execute();
      await told(tx, 'token.rotated', subcloud.id, actor, { id: params.id }, nowMs);
      const row = tokenRow({ ...before, pool: subcloud.name });
      const said = { subcloud: subcloud.name, principal: row.principal };
      return {
        audit: {
          subject: `token:${params.id}`,
          before: said,
          after: { ...said, rotatedAt: iso(nowMs), previousUntil: iso(untilMs) },
        },
        result: undefined,
        touched: [],
        apply: (world) => {
          const set = (at: string, value: typeof row | undefined): void => {
            if (value === undefined) world.credentials.delete(at);
            else world.credentials.set(at, value);
            stageCredential(world, pass.table, at, value);
          };
          // Only one secret before counts: the one before that ends now.
          if (before.previous_hash !== null) set(before.previous_hash, undefined);
          set(before.hash, body.overlapS === 0 ? undefined : previousRow(row, untilMs));
          set(hash, row);
        },
      };
    });
    return { id: params.id, token, previousUntil: iso(untilMs), withdrawal: await withdrawn(context, tableVersion) };
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
        .returning(['hash', 'previous_hash', 'principal', 'name'])
        .executeTakeFirst();
      if (row === undefined) throw notLive(params);
      await told(tx, 'token.revoked', subcloud.id, actor, { id: params.id }, nowMs);
      const before = { subcloud: subcloud.name, principal: row.principal, name: row.name };
      return {
        audit: { subject: `token:${params.id}`, before, after: null },
        result: undefined,
        touched: [],
        apply: (world) => {
          for (const hash of [row.hash, row.previous_hash]) {
            if (hash === null) continue;
            world.credentials.delete(hash);
            stageCredential(world, pass.table, hash, undefined);
          }
        },
      };
    });
    return withdrawn(context, tableVersion);
  },
};

function told(
  tx: Transaction,
  kind: EventKind,
  subcloud: string,
  actor: Actor,
  detail: object,
  atMs: number,
): Promise<void> {
  return insertEvents(
    tx,
    [{ kind, node: null, subcloud, actor: actorName(actor), reason: 'by request', detail }],
    atMs,
  );
}

function notLive({ name, id }: { readonly name: string; readonly id: string }): AppError {
  return new AppError('client.not_found', { message: `${name} has no live token ${id}.` });
}
