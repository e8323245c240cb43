/**
 * Named places that people define: the admin's for the whole network, an owner's for its own Subclouds. A manifest names
 * them like the built-in ones; what a name means to a Subcloud depends on nothing but the Subcloud's owner.
 */
import { BUILT_IN_PLACES, type PlaceDomain, type PlaceRegistry } from '@subcloud/policy/place-registry';
import type { PrincipalId } from '@subcloud/policy/principal';
import { type StoredRevision, networkRecord, subcloudRecord } from './subcloud-record.ts';
import type { SubcloudRecord, World } from './world.ts';

export interface DomainRecord {
  /** As manifests write it: `NORDICS`, or `org:acme/PLANTS` for one of an owner. */
  readonly id: string;
  /** Null: the network's. */
  readonly owner: PrincipalId | null;
  /** Counts its versions, and goes on counting when it is deleted and defined again. */
  readonly number: number;
  /** `DATE.NUMBER`. */
  readonly version: string;
  readonly title: string;
  readonly members: readonly string[];
  readonly unclear: readonly string[];
  readonly createdAtMs: number;
  readonly createdBy: string;
}

/**
 * What place names mean in Subclouds of this owner (null: in the Network manifest). Domains were checked when they were
 * defined. One that a later release has as built-in keeps its meaning here: no upgrade changes what a revision says.
 */
export function registryFor(domains: Iterable<DomainRecord>, owner: PrincipalId | null): PlaceRegistry {
  return registryOf([...domains].filter((domain) => domain.owner === null || domain.owner === owner));
}

export function registryOf(domains: Iterable<DomainRecord>): PlaceRegistry {
  const further = [...domains].map((domain) => [domain.id, domain] as const);
  return { domains: new Map<string, PlaceDomain>([...BUILT_IN_PLACES.domains, ...further]) };
}

/** Subclouds whose revision in force names the domain. */
export function usersOf(world: World, domainId: string): SubcloudRecord[] {
  return [...world.subclouds.values()].filter(({ policy }) => policy.domains.some(({ name }) => name === domainId));
}

/** The same revision under other domains: its policy and effective hash follow, its number and content do not. */
export function recompiled(record: SubcloudRecord, domains: Iterable<DomainRecord>): SubcloudRecord {
  const { id, owner, revision, createdAtMs, updatedAtMs, manifest, network, source } = record;
  if (network !== null)
    return networkRecord({ revision, createdAtMs, updatedAtMs, manifest: network, source }, registryFor(domains, null));
  if (manifest === null || owner === null) return record;
  const stored: StoredRevision = { id, owner, revision, createdAtMs, updatedAtMs, manifest, source };
  return subcloudRecord(stored, registryFor(domains, owner));
}
