/** A real network whose rights change one after the other, and the naive model's world of every moment. */
import { eventually } from '@subcloud/testkit/eventually';
import type { Client } from '@subcloud/sdk/client';
import type { TestNetwork, TestNode } from '@subcloud/testkit/test-network';
import type { Chance } from '../hostile/chance.ts';
import {
  type AccessWorld,
  type Credential,
  FEW,
  GLOBAL,
  ORGS,
  POOLS,
  type PoolName,
  type Principal,
  TEAMS,
  USERS,
} from './access-world.ts';
import type { NaivePool } from './naive-access.ts';
import { changes } from './random-change.ts';
import { FOUNDERS, type Grounds, MANY, applyPool } from './random-grounds.ts';

/** Answers of one pool from the moment that it lets few through until that changes, by caller. */
export interface Limited {
  readonly pool: PoolName;
  readonly fromMs: number;
  toMs: number | undefined;
  readonly served: Map<string, number>;
}

export interface Rights {
  /** Makes one change and resolves when it is in force. */
  change(): Promise<void>;
  now(): AccessWorld;
  /** When a call begins; what it returns is called when the call has ended, and gives every world that there was meanwhile. */
  begun(): () => readonly AccessWorld[];
  served(pool: string, principal: string, sentMs: number): void;
  limited(): readonly Limited[];
  /** What was done, in order. */
  told(): readonly string[];
}

export async function startRights(network: TestNetwork, node: TestNode, chance: Chance): Promise<Rights> {
  const { grounds, first } = await settle(network, node, chance);
  const next = changes(grounds);
  const told: string[] = [];
  const limited: Limited[] = [];
  const underWay = new Set<AccessWorld[]>();
  let world = first;
  /** While a change is under way either counts. */
  let coming: AccessWorld | undefined;
  const openLimits = (): void => {
    const nowMs = performance.now();
    for (const name of POOLS) {
      const open = limited.find(({ pool, toMs }) => pool === name && toMs === undefined);
      const few = world.limits.get(name) === FEW && (coming ?? world).limits.get(name) === FEW;
      if (few && open === undefined) limited.push({ pool: name, fromMs: nowMs, toMs: undefined, served: new Map() });
      else if (!few && open !== undefined) open.toMs = nowMs;
    }
  };
  return {
    now: () => world,
    told: () => told,
    limited: () => limited,
    served(name, principal, sentMs) {
      const open = limited.find(({ pool, toMs }) => pool === name && toMs === undefined);
      if (open === undefined || sentMs < open.fromMs) return;
      open.served.set(principal, (open.served.get(principal) ?? 0) + 1);
    },
    begun() {
      const worlds = coming === undefined ? [world] : [world, coming];
      underWay.add(worlds);
      return () => {
        underWay.delete(worlds);
        return worlds;
      };
    },
    async change() {
      const drawn = await next(world);
      told.push(drawn.word);
      coming = drawn.after;
      for (const worlds of underWay) worlds.push(drawn.after);
      openLimits();
      world = (await drawn.make()) ?? drawn.after;
      coming = undefined;
      for (const worlds of underWay) worlds.push(world);
      openLimits();
    },
  };
}

/** Founders, and two who may leave again. What each belongs to. */
async function seat({ admin }: TestNetwork, clients: Grounds['clients']): Promise<Map<string, readonly string[]>> {
  for (const [member, team] of [
    ['bob', 'ops'],
    ['cleo', 'ml'],
  ] as const) {
    const body = { group: 'org:acme', principal: `user:${member}`, role: 'member' } as const;
    const { id } = await admin.call('createInvitation', { body });
    await clients.get(`user:${member}`)?.call('acceptInvitation', { params: { id }, body: {} });
    await admin.call('setTeamMember', { params: { org: 'acme', team, member }, body: { role: 'member' } });
  }
  return new Map([
    ['user:ann', ['org:acme']],
    ['user:bob', ['org:umbrella', 'org:acme', 'team:acme/ops']],
    ['user:cleo', ['org:acme', 'team:acme/ml']],
  ]);
}

/** People, organisations, teams, three Subclouds that anybody may call, a key for each principal. */
async function settle(
  network: TestNetwork,
  node: TestNode,
  chance: Chance,
): Promise<{ readonly grounds: Grounds; readonly first: AccessWorld }> {
  const { admin } = network;
  const clients = new Map<Principal, Client>();
  const credentials: Credential[] = [];
  const keyOf = async (principal: Principal): Promise<void> => {
    const { id, key } = await admin.call('createKey', { body: { principal } });
    credentials.push({ id, principal, opens: undefined, secret: key, alive: true });
    clients.set(principal, network.client(key));
  };
  for (const principal of [...USERS, 'user:owner'] as const) await network.principal(principal);
  for (const principal of USERS) await keyOf(principal);
  for (const [org, founder] of Object.entries(FOUNDERS))
    await clients.get(founder)?.call('createOrg', { body: { id: org } });
  for (const id of ['ml', 'ops'])
    await clients.get('user:ann')?.call('createTeam', { params: { org: 'acme' }, body: { id } });
  for (const principal of [...TEAMS, ...ORGS]) await keyOf(principal);
  const pools = new Map<PoolName, NaivePool>(POOLS.map((name) => [name, { ...GLOBAL, name, owner: 'user:owner' }]));
  for (const pool of pools.values()) await applyPool(network, pool, MANY);
  for (const name of [...POOLS, 'global']) await network.serving(name, node);
  await eventually('the gateway has its share of the limits', async () => {
    const response = await fetch(`${network.url}/s/red/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${network.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'test-model', messages: [] }),
    });
    await response.arrayBuffer();
    return response.status === 200;
  });
  for (const pool of pools.values()) await applyPool(network, pool, undefined);
  const members = await seat(network, clients);
  const first = {
    pools,
    limits: new Map(),
    runOut: new Set<PoolName>(),
    accepted: new Map(),
    members,
    credentials,
    outlaws: [],
    empty: new Set<string>(),
  };
  return { grounds: { network, node, clients, chance }, first };
}
