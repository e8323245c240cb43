import { AppError } from '@subcloud/contract/errors';
import type { EventKind } from '@subcloud/contract/event-kinds';
import type { Domain, domainsRoutes } from '@subcloud/contract/routes/domains';
import { canonicalJson } from '@subcloud/policy/canonical-json';
import {
  BUILT_IN_PLACES,
  MAX_DOMAINS,
  type PlaceDomain,
  PlaceDomainError,
  createPlaceRegistry,
  splitDomainId,
} from '@subcloud/policy/place-registry';
import type { PrincipalId } from '@subcloud/policy/principal';
import { type Actor, actorName } from '../../access/actor.ts';
import { mayForPrincipal, mayKnow, requirePrincipal } from '../../access/authorise.ts';
import type { AuditedChange } from '../../audit/audited.ts';
import type { Transaction } from '../../loop.ts';
import { requireRoom } from '../../quotas/quotas.ts';
import { insertEvents } from '../../store/events.ts';
import { type DomainRecord, recompiled, usersOf } from '../../world/domains.ts';
import type { World } from '../../world/world.ts';
import { type ApiContext, type Handlers, iso, page, withdrawn } from '../context.ts';
import { requireKnown } from './principals.ts';

export const domainsHandlers: Pick<Handlers, keyof typeof domainsRoutes> = {
  listDomains({ loop }, { query }, actor) {
    const { world } = loop;
    const defined = [...world.domains.values()].filter((domain) => mayRead(world, actor, domain));
    const builtIn = [...BUILT_IN_PLACES.domains.values()].filter(({ id }) => !world.domains.has(id));
    const all = [
      ...defined.map((domain) => definedView(world, actor, domain)),
      ...builtIn.map((domain) => builtInView(world, actor, domain)),
    ];
    return page(all, ({ id }) => id, query);
  },

  getDomain({ loop }, { params, query }, actor) {
    const id = idOf(params.name, query.owner);
    const defined = loop.world.domains.get(id);
    if (defined !== undefined && mayRead(loop.world, actor, defined)) return definedView(loop.world, actor, defined);
    const builtIn = BUILT_IN_PLACES.domains.get(id);
    if (defined === undefined && builtIn !== undefined) return builtInView(loop.world, actor, builtIn);
    throw domainNotFound(id);
  },

  async putDomain(context, { params, body }, actor) {
    const { loop } = context;
    const owner = body.owner ?? null;
    requireWriter(loop.world, actor, owner);
    const id = idOf(params.name, body.owner);
    const { result, tableVersion } = await loop.change(async (tx) => {
      if (owner !== null) await requireKnown(tx, owner);
      return define(context, tx, { id, owner, title: body.title, members: body.members, unclear: body.unclear }, actor);
    });
    const withdrawal = await withdrawn(context, tableVersion);
    return { change: result.change, domain: definedView(loop.world, actor, result.domain), withdrawal };
  },

  async deleteDomain({ loop, clock }, { params, query }, actor) {
    requireWriter(loop.world, actor, query.owner ?? null);
    const id = idOf(params.name, query.owner);
    await loop.change(async (tx) => {
      const domain = loop.world.domains.get(id);
      if (domain === undefined) throw domainNotFound(id);
      const users = usersOf(loop.world, id).map(({ name }) => name);
      if (users.length > 0)
        throw new AppError('client.conflict', {
          message: `${id} is named by ${users.join(', ')}: change these first.`,
          details: { subclouds: users },
        });
      const nowMs = clock.nowMs();
      await tx.updateTable('domains').set({ deleted_at: nowMs }).where('id', '=', id).execute();
      await insertEvents(tx, [eventOf('domain.deleted', domain, actor)], nowMs);
      const audit = { subject: `domain:${id}`, before: domainState(domain), after: null };
      return { audit, result: undefined, touched: [], apply: (world) => void world.domains.delete(id) };
    });
    return { deleted: id };
  },
};

interface Definition {
  readonly id: string;
  readonly owner: PrincipalId | null;
  readonly title: string | undefined;
  readonly members: readonly string[];
  readonly unclear: readonly string[];
}

async function define(
  { loop, clock }: ApiContext,
  tx: Transaction,
  wanted: Definition,
  actor: Actor,
): Promise<AuditedChange<{ readonly change: 'created' | 'updated' | 'unchanged'; readonly domain: DomainRecord }>> {
  const { world } = loop;
  const { id, owner } = wanted;
  const existing = world.domains.get(id);
  const nowMs = clock.nowMs();
  const last = await tx.selectFrom('domains').select('number').where('id', '=', id).executeTakeFirst();
  const number = (last?.number ?? 0) + 1;
  const domain: DomainRecord = {
    id,
    owner,
    number,
    // The number tells apart two versions of one day: the effective hash must.
    version: `${iso(nowMs).slice(0, 10)}.${number}`,
    title: wanted.title ?? existing?.title ?? id,
    members: [...new Set(wanted.members)].sort(),
    unclear: [...new Set(wanted.unclear)].sort(),
    createdAtMs: nowMs,
    createdBy: actorName(actor),
  };
  requireValid(world, domain, existing);
  const subject = `domain:${id}`;
  const before = existing === undefined ? null : domainState(existing);
  if (existing !== undefined && sameContent(existing, domain))
    return {
      audit: { subject, before, after: before },
      result: { change: 'unchanged', domain: existing },
      touched: [],
      apply: () => undefined,
    };
  if (existing === undefined && owner !== null)
    await requireRoom(tx, { world, actor, owner, adds: { domains: 1 }, nowMs });
  await store(tx, domain, last !== undefined);
  const change = existing === undefined ? 'created' : 'updated';
  await insertEvents(tx, [eventOf(`domain.${change}`, domain, actor)], nowMs);
  const domains = new Map([...world.domains, [id, domain]]);
  const changed = usersOf(world, id).map((record) => recompiled(record, domains.values()));
  const isPrivate = changed.some(({ policy }) => policy.models.isPrivate);
  return {
    audit: { subject, before, after: domainState(domain) },
    result: { change, domain },
    touched: changed.length === 0 ? [] : 'all',
    ...(isPrivate ? {} : { scope: { subclouds: changed.map((record) => record.id) } }),
    apply: (target) => {
      target.domains.set(id, domain);
      for (const record of changed) target.subclouds.set(record.id, record);
    },
  };
}

async function store(tx: Transaction, domain: DomainRecord, exists: boolean): Promise<void> {
  const { id, owner, number } = domain;
  if (exists) await tx.updateTable('domains').set({ number, deleted_at: null }).where('id', '=', id).execute();
  else await tx.insertInto('domains').values({ id, owner, number, deleted_at: null }).execute();
  await tx
    .insertInto('domain_versions')
    .values({
      domain_id: id,
      number,
      version: domain.version,
      title: domain.title,
      members: JSON.stringify(domain.members),
      unclear: JSON.stringify(domain.unclear),
      created_at: domain.createdAtMs,
      created_by: domain.createdBy,
    })
    .execute();
}

/** Throws config.invalid_domain with every fault. An id that a later release has taken stays whose it was. */
function requireValid(world: World, domain: DomainRecord, existing: DomainRecord | undefined): void {
  const ofOwner = [...world.domains.values()].filter(({ owner }) => owner === domain.owner);
  const faults: string[] = [];
  if (existing === undefined && ofOwner.length >= MAX_DOMAINS / 2) faults.push(`more than ${MAX_DOMAINS / 2} domains`);
  const both = domain.members.filter((code) => domain.unclear.includes(code));
  if (both.length > 0) faults.push(`both member and unclear: ${both.slice(0, 8).join(', ')}`);
  try {
    createPlaceRegistry([
      existing !== undefined && BUILT_IN_PLACES.domains.has(domain.id) ? { ...domain, id: 'ANY' } : domain,
    ]);
  } catch (error) {
    if (!(error instanceof PlaceDomainError)) throw error;
    faults.push(...error.faults);
  }
  if (faults.length > 0)
    throw new AppError('config.invalid_domain', { message: `${faults.join('; ')}.`, details: { faults } });
}

function sameContent(a: DomainRecord, b: DomainRecord): boolean {
  const content = ({ title, members, unclear }: DomainRecord): string => canonicalJson({ title, members, unclear });
  return content(a) === content(b);
}

function domainState({ owner, version, members, unclear }: DomainRecord) {
  return { owner, version, members, unclear };
}

function requireWriter(world: World, actor: Actor, owner: PrincipalId | null): void {
  if (owner !== null) return requirePrincipal(world, actor, owner, 'define domains');
  if (!mayForPrincipal(world, actor, null))
    throw new AppError('policy.forbidden', {
      message: "Domains of the network are the admin's; name `owner` for one of your own.",
    });
}

/** A domain of an owner is between it and the admin: its members may tell where its machines are. */
function mayRead(world: World, actor: Actor, { owner }: DomainRecord): boolean {
  return owner === null || mayForPrincipal(world, actor, owner, 'domain.read');
}

function idOf(name: string, owner: PrincipalId | undefined): string {
  return owner === undefined ? name : `${owner}/${name}`;
}

function domainNotFound(id: string): AppError {
  return new AppError('client.not_found', {
    message: `There is no domain ${id}, or this credential may not know of it.`,
  });
}

function namesOfUsers(world: World, actor: Actor, id: string): string[] {
  return usersOf(world, id)
    .filter((subcloud) => mayKnow(actor, subcloud, world))
    .map(({ name }) => name)
    .sort();
}

function definedView(world: World, actor: Actor, domain: DomainRecord): Domain {
  const { id, owner, version, title, members, unclear, createdAtMs, createdBy } = domain;
  return {
    id,
    name: splitDomainId(id).name,
    owner,
    builtIn: false,
    version,
    title,
    members: [...members],
    unclear: [...unclear],
    createdAt: iso(createdAtMs),
    createdBy,
    usedBy: namesOfUsers(world, actor, id),
  };
}

function builtInView(world: World, actor: Actor, { id, version, title, members, unclear = [] }: PlaceDomain): Domain {
  return {
    id,
    name: id,
    owner: null,
    builtIn: true,
    version,
    title,
    members: [...members].sort(),
    unclear: [...unclear].sort(),
    createdAt: null,
    createdBy: null,
    usedBy: namesOfUsers(world, actor, id),
  };
}

function eventOf(kind: EventKind, { id, version, owner: principal }: DomainRecord, actor: Actor) {
  const detail = { id, version };
  return { kind, node: null, subcloud: null, principal, actor: actorName(actor), reason: 'by request', detail };
}
