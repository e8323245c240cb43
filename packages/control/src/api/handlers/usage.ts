import { AppError } from '@subcloud/contract/errors';
import { USAGE_GROUPS, type UsageGroup } from '@subcloud/contract/routes/control';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Actor } from '../../access/actor.ts';
import { may, principalsFor } from '../../access/authorise.ts';
import { usageReport } from '../../store/usage-report.ts';
import type { World } from '../../world/world.ts';
import type { Handlers } from '../context.ts';

export const listUsage: Handlers['listUsage'] = async ({ db, loop }, { query }, actor) => {
  const { world } = loop;
  const asked = new Set(query.by.split(','));
  const by = USAGE_GROUPS.filter((group) => asked.has(group));
  const principals = principalsFor(world, actor, 'usage.read');
  const rows = await usageReport(db, {
    by,
    sinceMs: query.since === undefined ? 0 : Date.parse(query.since),
    untilMs: query.until === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(query.until),
    principals: principals === 'all' ? undefined : principals,
    pools: principals === 'all' ? [] : poolsOf(world, actor),
    organisations: new Map(
      [...world.people.accounts].flatMap(([id, { organisation }]): [PrincipalId, string][] =>
        organisation === null ? [] : [[id, organisation]],
      ),
    ),
    limit: query.limit + 1,
    after: query.cursor === undefined ? undefined : groupsOfCursor(query.cursor, by.length),
  });
  const shown = rows.slice(0, query.limit);
  const last = shown.at(-1);
  return {
    items: shown.map(({ groups, ...counts }) => ({ ...NO_GROUP, ...groups, ...counts })),
    next: rows.length > query.limit && last !== undefined ? cursorOf(by, last.groups) : null,
  };
};

const NO_GROUP = { day: null, principal: null, organisation: null, subcloud: null, model: null };

/** Whoever sees why nodes are in a Subcloud sees who uses it. */
function poolsOf(world: World, actor: Actor): { name: string; sinceMs: number }[] {
  return [...world.subclouds.values()]
    .filter((subcloud) => may(world, actor, { kind: 'subcloud', subcloud }, 'subcloud.explain'))
    .map(({ name, createdAtMs }) => ({ name, sinceMs: createdAtMs }));
}

function cursorOf(by: readonly UsageGroup[], groups: Readonly<Partial<Record<UsageGroup, string>>>): string {
  return Buffer.from(JSON.stringify(by.map((group) => groups[group] ?? ''))).toString('base64url');
}

/** Throws client.invalid_request for a cursor that no report of these groups has given. */
function groupsOfCursor(cursor: string, length: number): readonly string[] {
  try {
    const groups: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    const isText = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0');
    if (Array.isArray(groups) && groups.length === length && groups.every(isText)) return groups;
  } catch {
    // Said below.
  }
  throw new AppError('client.invalid_request', { message: 'query.cursor: not one of this list.', param: 'cursor' });
}
