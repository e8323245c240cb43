/** One change of rights that can be made in a world, through the API as whoever may make it, and the world after it. */
import type { Client } from '@subcloud/sdk/client';
import {
  type AccessWorld,
  FEW,
  POOLS,
  PRINCIPALS,
  type PoolName,
  type Principal,
  ORGS,
  TEAMS,
  USERS,
  isOutlaw,
  movedCalls,
} from './access-world.ts';
import type { NaivePool } from './naive-access.ts';
import { newCredential, revoke, rotate } from './random-credentials.ts';
import {
  type Change,
  type Draw,
  FOUNDERS,
  type Grounds,
  MANY,
  applyPool,
  complete,
  inForce,
} from './random-grounds.ts';

const RANGES = ['127.0.0.0/8', '10.0.0.0/8'];

/**
 * Deals kinds of changes as cards are dealt, so that each comes up before any comes up again; of a kind that can be made,
 * one that moves somebody's calls where a few tries find one.
 */
export function changes(grounds: Grounds): (world: AccessWorld) => Promise<Change> {
  const { chance } = grounds;
  let deck: Draw[] = [];
  return async (world) => {
    for (;;) {
      if (deck.length === 0) deck = [...DRAWS];
      const [draw] = deck.splice(chance.below(deck.length), 1);
      let drawn: Change | undefined;
      for (let tries = 0; tries < 8; tries += 1) {
        const next = await draw?.(grounds, world);
        if (next === undefined) continue;
        drawn = next;
        if (next.secrets === true || movedCalls(world, next.after).length > 0) break;
      }
      if (drawn !== undefined) return drawn;
    }
  };
}

const access: Draw = ({ network, chance }, world) => {
  const pool = poolOf(world, chance.of(POOLS));
  const some = (of: readonly string[]): string[] => of.filter(() => chance.chance(0.35));
  const listed = chance.chance(0.6);
  const changed: NaivePool = {
    ...pool,
    require: chance.chance(0.8) ? 'any' : 'all',
    tokens: chance.chance(0.4),
    whitelist: listed
      ? {
          accounts: some(USERS),
          teams: some(TEAMS),
          orgs: some(ORGS),
          cidrs: chance.chance(0.25) ? [chance.of(RANGES)] : [],
        }
      : undefined,
    binding: chance.chance(0.5) ? some(PRINCIPALS) : [],
  };
  const accepted = new Map(
    [...world.accepted].filter(([who, where]) => where !== pool.name || changed.binding.includes(who)),
  );
  return {
    word: `access of ${pool.name}: ${JSON.stringify(changed)}`,
    after: { ...withPool(world, changed), accepted },
    make: async () => applyPool(network, changed, limitOf(world, pool.name)).then(() => undefined),
  };
};

const limits: Draw = ({ network, chance }, world) => {
  const pool = poolOf(world, chance.of(POOLS));
  const drawn = chance.of([0, FEW, MANY]);
  const limit = drawn === 0 ? undefined : drawn;
  const changed = new Map(world.limits);
  if (limit === undefined) changed.delete(pool.name as PoolName);
  else changed.set(pool.name as PoolName, limit);
  return {
    word: `${limit ?? 'no'} requests a minute in ${pool.name}`,
    after: {
      ...world,
      limits: changed,
      runOut: limit === FEW ? new Set([...world.runOut, pool.name as PoolName]) : world.runOut,
    },
    make: async () => applyPool(network, pool, limit).then(() => undefined),
  };
};

const accept: Draw = async ({ network, clients, chance }, world) => {
  const { items } = await network.admin.call('listBindings', { query: { limit: 100 } });
  const offered = items.filter(
    ({ state, bound, subcloud }) =>
      state === 'offered' &&
      !world.accepted.has(bound) &&
      !isOutlaw(world, bound) &&
      world.pools.has(subcloud as PoolName),
  );
  // Ids are new in every run: what is chosen must not depend on them.
  offered.sort((a, b) => (`${a.subcloud} ${a.bound}` < `${b.subcloud} ${b.bound}` ? -1 : 1));
  if (offered.length === 0) return undefined;
  const { id, bound, subcloud } = chance.of(offered);
  const client = speaking(world, clients, bound as Principal);
  if (client === undefined) return undefined;
  return {
    word: `${bound} accepts its binding to ${subcloud}`,
    after: { ...world, accepted: new Map([...world.accepted, [bound, subcloud as PoolName]]) },
    make: async () => complete(await client.call('acceptBinding', { params: { id } })),
  };
};

const release: Draw = async ({ network, chance }, world) => {
  const bound = [...world.accepted.keys()];
  if (bound.length === 0) return undefined;
  const who = chance.of(bound);
  const accepted = new Map(world.accepted);
  accepted.delete(who);
  return {
    word: `the binding of ${who} to ${world.accepted.get(who)} ends`,
    after: { ...world, accepted },
    make: async () => {
      const { items } = await network.admin.call('listBindings', { query: { limit: 100 } });
      const id = items.find((item) => item.bound === who && item.state === 'active')?.id ?? '';
      return complete(await network.admin.call('endBinding', { params: { id } }));
    },
  };
};

const ban: Draw = ({ network, chance }, world) => {
  const name = chance.of([...POOLS, 'global'] as const);
  const banned = name === 'global' ? world.outlaws : poolOf(world, name).banned;
  const subject = chance.of(PRINCIPALS.filter((principal) => !banned.includes(principal)));
  // Most of the network outlawed would leave little to see.
  if (name === 'global' && banned.length > 0) return undefined;
  return {
    word: `${subject} is banned from ${name}`,
    after:
      name === 'global'
        ? { ...world, outlaws: [...world.outlaws, subject] }
        : withPool(world, { ...poolOf(world, name), banned: [...banned, subject] }),
    make: async () =>
      complete(await network.admin.call('createBan', { params: { name }, body: { kind: 'account', subject } })),
  };
};

const lift: Draw = (grounds, world) => {
  const { network, chance } = grounds;
  const bans = [
    ...world.outlaws.map((subject) => ['global', subject] as const),
    ...[...world.pools.values()].flatMap(({ name, banned }) => banned.map((subject) => [name, subject] as const)),
  ];
  if (bans.length === 0) return undefined;
  const [name, subject] = chance.of(bans);
  const without = (ids: readonly string[]): string[] => ids.filter((id) => id !== subject);
  const after =
    name === 'global'
      ? { ...world, outlaws: world.outlaws.filter((id) => id !== subject) }
      : withPool(world, {
          ...poolOf(world, name as PoolName),
          banned: without(poolOf(world, name as PoolName).banned),
        });
  return {
    word: `the ban of ${subject} from ${name} is lifted`,
    after,
    make: async () => {
      const { items } = await network.admin.call('listBans', { params: { name }, query: { limit: 100 } });
      const id = items.find((item) => item.subject === subject)?.id ?? '';
      await network.admin.call('liftBan', { params: { name, id } });
      return inForce(grounds, after);
    },
  };
};

const join: Draw = ({ network, clients, chance }, world) => {
  const user = chance.of(USERS);
  const group = chance.of([...ORGS, ...TEAMS]);
  const groups = world.members.get(user) ?? [];
  const [org = '', team] = group.replace(/^\w+:/, '').split('/');
  if (groups.includes(group) || isOutlaw(world, user)) return undefined;
  if (team !== undefined && !groups.includes(`org:${org}`)) return undefined;
  const client = speaking(world, clients, user);
  if (client === undefined) return undefined;
  const member = user.slice('user:'.length);
  const after = { ...world, members: new Map([...world.members, [user, [...groups, group]]]) };
  return {
    word: `${user} joins ${group}`,
    after,
    make: async () => {
      const role = 'member' as const;
      if (team !== undefined)
        return complete(await network.admin.call('setTeamMember', { params: { org, team, member }, body: { role } }));
      const { id } = await network.admin.call('createInvitation', { body: { group, principal: user, role } });
      return complete(await client.call('acceptInvitation', { params: { id }, body: {} }));
    },
  };
};

const leave: Draw = ({ network, chance }, world) => {
  const user = chance.of(USERS);
  const groups = world.members.get(user) ?? [];
  if (groups.length === 0) return undefined;
  const group = chance.of(groups);
  const [org = '', team] = group.replace(/^\w+:/, '').split('/');
  // An organisation keeps its owner.
  if (team === undefined && FOUNDERS[org] === user) return undefined;
  const left = groups.filter((id) => id !== group && !(team === undefined && id.startsWith(`team:${org}/`)));
  const member = user.slice('user:'.length);
  return {
    word: `${user} leaves ${group}`,
    after: { ...world, members: new Map([...world.members, [user, left]]) },
    make: async () =>
      complete(
        team === undefined
          ? await network.admin.call('removeOrgMember', { params: { org, member } })
          : await network.admin.call('removeTeamMember', { params: { org, team, member } }),
      ),
  };
};

/** A node, or its operator, is banned from one pool: nobody serves there until that is lifted. */
const clear: Draw = ({ network, node, chance }, world) => {
  const name = chance.of(POOLS);
  if (world.empty.size > 0) return undefined;
  const operator = chance.chance(0.5);
  const body = operator
    ? ({ kind: 'operator', subject: 'user:admin' } as const)
    : ({ kind: 'node', subject: node.id } as const);
  return {
    word: `the ${body.kind} is banned from ${name}`,
    after: { ...world, empty: new Set([name]) },
    make: async () => complete(await network.admin.call('createBan', { params: { name }, body })),
  };
};

const fill: Draw = (grounds, world) => {
  const { network, node } = grounds;
  const [name] = world.empty;
  if (name === undefined) return undefined;
  const after = { ...world, empty: new Set<string>() };
  return {
    word: `the node comes back to ${name}`,
    after,
    make: async () => {
      const { items } = await network.admin.call('listBans', { params: { name }, query: { limit: 100 } });
      for (const { id, kind } of items)
        if (kind !== 'account') await network.admin.call('liftBan', { params: { name, id } });
      await network.serving(name, node);
      // Control has it in the table, and the gateway hears of that later.
      return inForce(grounds, after);
    },
  };
};

const OFTEN: readonly Draw[] = [access, access, access, accept, accept, release, ban, ban, lift, lift, limits];
const DRAWS: readonly Draw[] = OFTEN.concat(
  newCredential,
  newCredential,
  rotate,
  rotate,
  revoke,
  join,
  leave,
  clear,
  fill,
);

/** The client of a principal, where neither it nor what it belongs to is banned from the network. */
function speaking(
  world: AccessWorld,
  clients: ReadonlyMap<Principal, Client>,
  principal: Principal,
): Client | undefined {
  return isOutlaw(world, principal) ? undefined : clients.get(principal);
}

function poolOf({ pools }: AccessWorld, name: PoolName): NaivePool {
  const pool = pools.get(name);
  if (pool === undefined) throw new Error(`no pool ${name}`);
  return pool;
}

function withPool(world: AccessWorld, pool: NaivePool): AccessWorld {
  return { ...world, pools: new Map([...world.pools, [pool.name as PoolName, pool]]) };
}

function limitOf({ limits: of }: AccessWorld, name: string): number | undefined {
  return of.get(name as PoolName);
}
