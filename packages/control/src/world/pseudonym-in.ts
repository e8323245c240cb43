import { hash } from 'node:crypto';
import { pseudonymFrom, pseudonymText } from '@subcloud/contract/pseudonym';
import type { World } from './world.ts';

/** What callers of a pool know a node by; undefined where there is no such pool (any more). */
export function pseudonymIn(world: World, pool: string, node: string): string | undefined {
  const id = world.subcloudByName.get(pool);
  return id === undefined ? undefined : pseudonymFrom(hash('sha256', pseudonymText(id, node)));
}
