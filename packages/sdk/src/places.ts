/** What place names mean to this caller: the built-in domains, those of the network, and its own. */
import { BUILT_IN_PLACES, type PlaceDomain, type PlaceRegistry } from '@subcloud/policy/place-registry';
import type { Client } from './client.ts';
import { eachItem } from './pages.ts';

export type { PlaceRegistry } from '@subcloud/policy/place-registry';

/** @throws what `client.call` throws */
export async function readPlaceRegistry(client: Client): Promise<PlaceRegistry> {
  const domains = new Map<string, PlaceDomain>(BUILT_IN_PLACES.domains);
  for await (const { id, title, version, members, unclear } of eachItem(client, 'listDomains')) {
    domains.set(id, { id, title, version, members, unclear });
  }
  return { domains };
}
