/**
 * What a network's rights are, as the naive model keeps them: an immutable value a change, so that a call which overlaps
 * a change can be held against the value before it and the value after it.
 */
import { type NaiveCredential, type NaivePool, naiveAccess } from './naive-access.ts';

export const POOLS = ['red', 'green', 'blue'] as const;
export type PoolName = (typeof POOLS)[number];
export const USERS = ['user:ann', 'user:bob', 'user:cleo'] as const;
export const TEAMS = ['team:acme/ml', 'team:acme/ops'] as const;
export const ORGS = ['org:acme', 'org:umbrella'] as const;
export const PRINCIPALS = [...USERS, ...TEAMS, ...ORGS] as const;
export type Principal = (typeof PRINCIPALS)[number];

export interface Credential extends NaiveCredential {
  readonly secret: string;
  readonly principal: Principal;
  readonly alive: boolean;
}

export interface AccessWorld {
  readonly pools: ReadonlyMap<PoolName, NaivePool>;
  /** Requests a minute of each caller; undefined: as many as it likes. */
  readonly limits: ReadonlyMap<PoolName, number>;
  /** Pools that had FEW once: a bucket that is empty when its limit is raised begins to fill with the next call. */
  readonly runOut: ReadonlySet<PoolName>;
  readonly accepted: ReadonlyMap<string, PoolName>;
  readonly members: ReadonlyMap<string, readonly string[]>;
  readonly credentials: readonly Credential[];
  /** Callers, and groups of them, that are banned from the network. */
  readonly outlaws: readonly Principal[];
  /** Pools that no node serves now. */
  readonly empty: ReadonlySet<string>;
}

export const GLOBAL: NaivePool = {
  name: 'global',
  owner: null,
  require: 'any',
  tokens: false,
  whitelist: undefined,
  binding: [],
  banned: [],
};

/** So few requests a minute that they run out while calls go on. */
export const FEW = 2;

export function belongsTo({ members }: Pick<AccessWorld, 'members'>, principal: string): readonly string[] {
  const groups = new Set(members.get(principal));
  for (const id of [principal, ...groups]) if (id.startsWith('team:')) groups.add(`org:${id.slice(5).split('/')[0]}`);
  return [...groups];
}

export function isOutlaw(world: AccessWorld, principal: string): boolean {
  const who: readonly string[] = [principal, ...belongsTo(world, principal)];
  return world.outlaws.some((outlaw) => who.includes(outlaw));
}

/** Every answer that the call may get: a pool's name, or a code. */
export function answersOf(world: AccessWorld, at: number, name: string | undefined): readonly string[] {
  const credential = world.credentials[at];
  if (credential?.alive !== true || isOutlaw(world, credential.principal)) return ['client.unauthenticated'];
  const network = {
    pools: [GLOBAL, ...world.pools.values()],
    accepted: world.accepted,
    belongsTo: (id: string) => belongsTo(world, id),
  };
  const answer = naiveAccess(network, { credential, name, address: '127.0.0.1' });
  if (world.empty.has(answer)) return ['routing.no_eligible_node'];
  const limit = world.limits.get(answer as PoolName);
  const mayRefuse = limit === FEW || (limit !== undefined && world.runOut.has(answer as PoolName));
  return mayRefuse ? [answer, 'policy.limit_exceeded'] : [answer];
}

/** What a call may name; `no name`: none. */
export const NAMES = [...POOLS, 'global', 'absent', 'no name'] as const;

/** Who calls, by its place among the credentials, and what pool it names. */
export interface Wish {
  readonly at: number;
  readonly name: string | undefined;
}

export function wishOf(at: number, name: (typeof NAMES)[number]): Wish {
  return { at, name: name === 'no name' ? undefined : name };
}

/** Calls that end otherwise after than before. */
export function movedCalls(before: AccessWorld, after: AccessWorld): Wish[] {
  return [...after.credentials.keys()]
    .flatMap((at) => NAMES.map((name) => wishOf(at, name)))
    .filter(({ at, name }) => String(answersOf(before, at, name)) !== String(answersOf(after, at, name)));
}
