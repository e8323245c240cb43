/** What changes of rights are made of: whom they go through, what they are, and when they are in force. */
import type { Client } from '@subcloud/sdk/client';
import type { TestNetwork, TestNode } from '@subcloud/testkit/test-network';
import type { Chance } from '../hostile/chance.ts';
import type { AccessWorld, Principal } from './access-world.ts';
import type { NaivePool } from './naive-access.ts';

/** A limit that nobody reaches. */
export const MANY = 100_000;
export const FOUNDERS: Readonly<Record<string, Principal>> = { acme: 'user:ann', umbrella: 'user:bob' };

export interface Grounds {
  readonly network: TestNetwork;
  readonly node: TestNode;
  /** With the key that each principal had at the start. */
  readonly clients: ReadonlyMap<Principal, Client>;
  readonly chance: Chance;
}

export interface Change {
  readonly word: string;
  /** New ones are made, so that what it moves is not known before. */
  readonly secrets?: true;
  /** Without secrets that are made on the way: nobody can call with one before the change is answered. */
  readonly after: AccessWorld;
  /** Resolves when it is in force; with the world after it where that has more than `after`. */
  readonly make: () => Promise<AccessWorld | undefined>;
}

export type Draw = (grounds: Grounds, world: AccessWorld) => Change | undefined | Promise<Change | undefined>;

/** `limit`: requests a minute of each caller. Resolves when the gateway routes by it. */
export async function applyPool({ admin }: TestNetwork, pool: NaivePool, limit: number | undefined): Promise<void> {
  const { name, owner, require, tokens, whitelist, binding } = pool;
  const access = {
    require,
    tokens,
    ...(whitelist === undefined ? {} : { whitelist }),
    ...(binding.length === 0 ? {} : { binding }),
    ...(limit === undefined ? {} : { limits: { requestsPerMinute: limit } }),
  };
  const participation = { mode: 'open', autoJoin: true, cooldown: '0s' };
  const manifest = {
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name, owner },
    spec: { participation, access },
  };
  complete(await admin.call('applySubcloud', { params: { name }, body: { manifest: JSON.stringify(manifest) } }));
}

/** What was given is in force: a manifest that says what it said before is answered when gateways have the table of now. */
export async function inForce(grounds: Grounds, world: AccessWorld): Promise<undefined> {
  const pool = world.pools.get('red');
  if (pool !== undefined) await applyPool(grounds.network, pool, world.limits.get('red'));
  return undefined;
}

export function complete({ withdrawal }: { readonly withdrawal: { readonly complete: boolean } }): undefined {
  if (!withdrawal.complete) throw new Error('a withdrawal did not conclude, with one gateway that is up');
  return undefined;
}
