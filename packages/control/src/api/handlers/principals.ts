import { AppError } from '@subcloud/contract/errors';
import { newId } from '@subcloud/kit/clock';
import { hashSecret, joinTokenText, newSecret } from '@subcloud/kit/secrets';
import type { PrincipalId } from '@subcloud/policy/principal';
import { actorName } from '../../access/actor.ts';
import { mayForPrincipal, requirePrincipal } from '../../access/authorise.ts';
import type { Transaction } from '../../loop.ts';
import { stageCredential } from '../../compile/access-rows.ts';
import { issueKey } from '../../identity/issue-key.ts';
import { insertEvents } from '../../store/events.ts';
import { insertGroup } from '../insert-group.ts';
import { type Handlers, iso, isoOrNull, page, withdrawn } from '../context.ts';

type Names =
  | 'createPrincipal'
  | 'listPrincipals'
  | 'createKey'
  | 'listKeys'
  | 'revokeKey'
  | 'createJoinToken'
  | 'listJoinTokens'
  | 'revokeJoinToken';

export const principalHandlers: Pick<Handlers, Names> = {
  async createPrincipal({ loop, clock }, { body }, actor) {
    const nowMs = clock.nowMs();
    await loop.change(async (tx) => {
      const inserted = await tx
        .insertInto('principals')
        .values({ id: body.id, created_at: nowMs })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      if (inserted.numInsertedOrUpdatedRows !== 1n)
        throw new AppError('client.conflict', { message: `${body.id} exists.` });
      const group = await insertGroup(tx, body.id, actorName(actor), nowMs);
      await insertEvents(
        tx,
        [
          {
            kind: 'principal.created',
            node: null,
            subcloud: null,
            actor: actorName(actor),
            reason: 'by request',
            detail: { id: body.id },
          },
        ],
        nowMs,
      );
      const audit = { subject: `principal:${body.id}`, before: null, after: { id: body.id } };
      return { audit, result: undefined, touched: [], apply: (world) => group?.(world.people) };
    });
    return { id: body.id, createdAt: iso(nowMs) };
  },

  async listPrincipals({ db }, { query }) {
    const rows = await db.selectFrom('principals').select(['id', 'created_at']).execute();
    const { items, next } = page(rows, ({ id }) => id, query);
    return { items: items.map(({ id, created_at }) => ({ id: id as PrincipalId, createdAt: iso(created_at) })), next };
  },

  async createKey({ loop, clock, pass }, { body }, actor) {
    const nowMs = clock.nowMs();
    const principal = body.principal ?? (actor.kind === 'principal' ? actor.principal : undefined);
    if (principal === undefined)
      throw new AppError('client.invalid_request', {
        message: 'The admin token acts for nobody: name the principal.',
        param: 'principal',
      });
    requirePrincipal(loop.world, actor, principal, 'make keys');
    const expiresAtMs = body.expiresInS === undefined ? null : nowMs + body.expiresInS * 1_000;
    const { result } = await loop.change(async (tx) => {
      requirePrincipal(loop.world, actor, principal, 'make keys');
      await requireKnown(tx, principal);
      const { name = null } = body;
      const issued = await issueKey(tx, pass, { principal, name, expiresAtMs, by: actorName(actor), nowMs });
      return {
        audit: {
          subject: `key:${issued.id}`,
          before: null,
          after: { principal, name, expiresAt: isoOrNull(expiresAtMs) },
        },
        result: issued,
        touched: [],
        apply: issued.apply,
      };
    });
    return { id: result.id, principal, key: result.key, expiresAt: isoOrNull(expiresAtMs) };
  },

  async listKeys({ db, loop }, { query }, actor) {
    const stored = await db
      .selectFrom('account_keys')
      .select(['id', 'principal', 'name', 'created_at', 'expires_at', 'revoked_at', 'last_used_at'])
      .execute();
    const rows = stored.filter(({ principal }) =>
      mayForPrincipal(loop.world, actor, principal as PrincipalId, 'key.read'),
    );
    const { items, next } = page(rows, ({ id }) => id, query);
    return {
      items: items.map((row) => ({
        id: row.id,
        name: row.name,
        principal: row.principal as PrincipalId,
        createdAt: iso(row.created_at),
        expiresAt: isoOrNull(row.expires_at),
        revokedAt: isoOrNull(row.revoked_at),
        lastUsedAt: isoOrNull(row.last_used_at),
      })),
      next,
    };
  },

  async revokeKey(context, { params }, actor) {
    const { loop, clock, pass } = context;
    const { tableVersion } = await loop.change(async (tx) => {
      const nowMs = clock.nowMs();
      const row = await tx
        .updateTable('account_keys')
        .set({ revoked_at: nowMs })
        .where('id', '=', params.id)
        .where('revoked_at', 'is', null)
        .returning(['hash', 'principal', 'name'])
        .executeTakeFirst();
      // The throw undoes the update.
      if (row === undefined || !mayForPrincipal(loop.world, actor, row.principal as PrincipalId))
        throw new AppError('client.not_found', { message: `There is no live key ${params.id}.` });
      await insertEvents(
        tx,
        [
          {
            kind: 'key.revoked',
            node: null,
            subcloud: null,
            principal: row.principal,
            actor: actorName(actor),
            reason: 'by request',
            detail: { id: params.id },
          },
        ],
        nowMs,
      );
      const { principal, name } = row;
      return {
        audit: { subject: `key:${params.id}`, before: { principal, name }, after: null },
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

  async createJoinToken({ loop, clock, authority }, { body }, actor) {
    const operator = body.operator ?? (actor.kind === 'principal' ? actor.principal : undefined);
    if (operator === undefined)
      throw new AppError('client.invalid_request', {
        message: 'The admin token acts for nobody: name the operator.',
        param: 'operator',
      });
    requirePrincipal(loop.world, actor, operator, 'make join tokens');
    const nowMs = clock.nowMs();
    const secret = newSecret('join');
    const id = newId('jtk');
    const expiresAt = nowMs + body.expiresInS * 1_000;
    await loop.change(async (tx) => {
      await requireKnown(tx, operator);
      await tx
        .insertInto('join_tokens')
        .values({ id, operator, hash: hashSecret(secret), created_at: nowMs, expires_at: expiresAt, revoked_at: null })
        .execute();
      await insertEvents(
        tx,
        [
          {
            kind: 'join_token.created',
            node: null,
            subcloud: null,
            principal: operator,
            actor: actorName(actor),
            reason: 'by request',
            detail: { id },
          },
        ],
        nowMs,
      );
      const audit = { subject: `join-token:${id}`, before: null, after: { operator, expiresAt: iso(expiresAt) } };
      return { audit, result: undefined, touched: [], apply: () => undefined };
    });
    return { id, operator, joinToken: joinTokenText(secret, authority.fingerprint), expiresAt: iso(expiresAt) };
  },

  async listJoinTokens({ db, loop }, { query }, actor) {
    const rows = await db
      .selectFrom('join_tokens')
      .select(['id', 'operator', 'created_at', 'expires_at', 'revoked_at', 'uses'])
      .execute();
    const own = rows.filter(({ operator }) =>
      mayForPrincipal(loop.world, actor, operator as PrincipalId, 'joinToken.read'),
    );
    const { items, next } = page(own, ({ id }) => id, query);
    return {
      items: items.map((row) => ({
        id: row.id,
        operator: row.operator as PrincipalId,
        createdAt: iso(row.created_at),
        expiresAt: iso(row.expires_at),
        revokedAt: isoOrNull(row.revoked_at),
        uses: row.uses,
      })),
      next,
    };
  },

  async revokeJoinToken({ loop, clock }, { params }, actor) {
    const nowMs = clock.nowMs();
    await loop.change(async (tx) => {
      const row = await tx
        .selectFrom('join_tokens')
        .select(['operator', 'revoked_at'])
        .where('id', '=', params.id)
        .executeTakeFirst();
      if (
        row === undefined ||
        !mayForPrincipal(loop.world, actor, row.operator as PrincipalId) ||
        row.revoked_at !== null
      )
        throw new AppError('client.not_found', { message: `There is no live join token ${params.id}.` });
      await tx.updateTable('join_tokens').set({ revoked_at: nowMs }).where('id', '=', params.id).execute();
      await insertEvents(
        tx,
        [
          {
            kind: 'join_token.revoked',
            node: null,
            subcloud: null,
            principal: row.operator,
            actor: actorName(actor),
            reason: 'by request',
            detail: { id: params.id },
          },
        ],
        nowMs,
      );
      const audit = { subject: `join-token:${params.id}`, before: { operator: row.operator }, after: null };
      return { audit, result: undefined, touched: [], apply: () => undefined };
    });
    return { revokedAt: iso(nowMs) };
  },
};

/** Throws client.not_found unless the principal was made. */
export async function requireKnown(tx: Transaction, principal: PrincipalId): Promise<void> {
  const row = await tx.selectFrom('principals').select('id').where('id', '=', principal).executeTakeFirst();
  if (row === undefined)
    throw new AppError('client.not_found', {
      message: `There is no principal ${principal}; the admin makes one with \`subcloud principal create ${principal}\`.`,
    });
}
