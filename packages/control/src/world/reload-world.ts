/**
 * Brings the world back to what the store says, in place. Needed when a transaction's end is not known (the connection
 * broke at COMMIT): memory must never say less or more than the store. What is not stored (links, losses) is kept.
 */
import { stageAccess } from '../compile/access-rows.ts';
import type { PublishedTable } from '../compile/published-table.ts';
import type { Database } from '../store/database.ts';
import { keepDrain } from './drains.ts';
import { loadWorld } from './load-world.ts';
import type { World } from './world.ts';

/** Returns every node that was or is known: all of them want a pass. */
export async function reloadWorld(db: Database, world: World, table: PublishedTable): Promise<readonly string[]> {
  const fresh = await loadWorld(db);
  const ids = new Set([...world.nodes.keys(), ...fresh.nodes.keys()]);
  for (const [id, node] of fresh.nodes) {
    const old = world.nodes.get(id);
    if (old === undefined) continue;
    node.lossVersion = old.lossVersion;
    keepDrain(old, node);
    // Heartbeats since the last write to the store are known here only.
    if ((old.lastSeenAtMs ?? 0) > (node.lastSeenAtMs ?? 0)) node.lastSeenAtMs = old.lastSeenAtMs;
    node.confirmedAtMs = Math.max(node.confirmedAtMs, old.confirmedAtMs);
  }
  replace(world.nodes, fresh.nodes);
  replace(world.subclouds, fresh.subclouds);
  replace(world.subcloudByName, fresh.subcloudByName);
  replace(world.retiredNames, fresh.retiredNames);
  replace(world.credentials, fresh.credentials);
  replace(world.domains, fresh.domains);
  replace(world.people.accounts, fresh.people.accounts);
  replace(world.bans, fresh.bans);
  replace(world.people.organisations, fresh.people.organisations);
  replace(world.people.teams, fresh.people.teams);
  replace(world.people.groups, fresh.people.groups);
  replace(world.people.networkRoles, fresh.people.networkRoles);
  replace(world.people.delegates, fresh.people.delegates);
  replace(world.bindings, fresh.bindings);
  replace(world.gateways, fresh.gateways);
  world.places = fresh.places;
  replace(world.attesters, fresh.attesters);
  replace(world.audits, fresh.audits);
  replace(world.revokedStatements, fresh.revokedStatements);
  for (const id of world.links.keys()) if (!world.nodes.has(id)) world.links.delete(id);
  stageAccess(world, table);
  return [...ids];
}

function replace<Key, Value>(target: Map<Key, Value>, source: ReadonlyMap<Key, Value>): void {
  target.clear();
  for (const [key, value] of source) target.set(key, value);
}
