/**
 * Control's memory of the store: what the last committed transactions say, so that a pass reads no database. It is
 * changed in one place only (`Loop`), after the commit of the transaction that says the same; what is not in the store
 * (links, heartbeats) is named as such.
 */
import type { SignedDocument } from '@subcloud/contract/documents';
import type { CredentialRow } from '@subcloud/contract/table';
import type { Consent } from '@subcloud/policy/consent';
import type { CompiledPolicy } from '@subcloud/policy/decide';
import type { Claim } from '@subcloud/policy/facts';
import type { SubcloudManifest } from '@subcloud/policy/manifest';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { PoolModels } from '../compile/sequence.ts';
import type { Membership, Verdict } from '../membership/reconcile.ts';

export interface NodeRecord {
  readonly id: string;
  readonly name: string;
  readonly operator: PrincipalId;
  readonly publicKey: string;
  readonly enrolledAtMs: number;
  lastSeenAtMs: number | null;
  address: string | null;
  agentVersion: string | null;
  declarationSerial: number;
  /** Null until the first declaration: no consent to anything. */
  consent: Consent | null;
  concurrency: number | null;
  claims: Claim[];
  memberships: ReadonlyMap<string, Membership>;
  document: DocumentRecord | undefined;
  /** Not stored: the last pass's verdicts by Subcloud id. */
  verdicts: ReadonlyMap<string, Verdict>;
  /** Not stored: when to look again though nothing happens. */
  dueMs: number | null;
  /** Not stored: the table version in which the node last lost something; 0 when nothing since start. */
  lossVersion: number;
}

export interface DocumentRecord {
  readonly epoch: number;
  readonly serial: number;
  readonly tableVersion: number;
  readonly document: SignedDocument;
  readonly content: PoolModels;
  readonly terms: ReadonlyMap<string, string>;
  readonly agreed: PoolModels;
  readonly acknowledged: boolean;
  readonly issuedAtMs: number;
}

export interface SubcloudRecord {
  readonly id: string;
  readonly name: string;
  readonly owner: PrincipalId | null;
  readonly revision: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** Null for the global network, whose manifest is the default. */
  readonly manifest: SubcloudManifest | null;
  readonly source: string;
  readonly effectiveHash: string;
  readonly participation: { readonly mode: 'open' | 'private'; readonly autoJoin: boolean };
  readonly isolation: 'shared' | 'isolate';
  readonly access: { readonly tokens: boolean };
  readonly policy: CompiledPolicy;
}

export interface LinkRecord {
  readonly gateway: string;
  readonly address: string;
}

export interface PlaceRecord {
  readonly cidr: string;
  readonly country: string;
  readonly subdivision?: string;
}

export interface World {
  readonly networkId: string;
  readonly epoch: number;
  readonly nodes: Map<string, NodeRecord>;
  readonly subclouds: Map<string, SubcloudRecord>;
  readonly subcloudByName: Map<string, string>;
  /** By SHA-256 hex of the secret. */
  readonly credentials: Map<string, CredentialRow>;
  places: readonly PlaceRecord[];
  /** Not stored: node id -> its links, newest last. A node without one is offline. */
  readonly links: Map<string, LinkRecord[]>;
}

export const GLOBAL_ID = 'global';

export function isOnline(world: World, nodeId: string): boolean {
  return (world.links.get(nodeId)?.length ?? 0) > 0;
}
