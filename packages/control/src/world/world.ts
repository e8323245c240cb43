/**
 * Control's memory of the store: what the last committed transactions say, so that a pass reads no database. It is
 * changed in one place only (`Loop`), after the commit of the transaction that says the same; what is not in the store
 * (links, heartbeats) is named as such.
 */
import type { SignedDocument } from '@subcloud/contract/documents';
import type { CredentialRow } from '@subcloud/contract/table';
import type { AccessClause } from '@subcloud/policy/access';
import type { Consent, Isolation } from '@subcloud/policy/consent';
import type { CompiledPolicy } from '@subcloud/policy/decide';
import type { Claim, NodeFacts } from '@subcloud/policy/facts';
import type { NetworkManifest, RoutingClause, SubcloudManifest } from '@subcloud/policy/manifest';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { BindingRecord } from '../bindings/bindings.ts';
import type { RevokedStatement } from '../facts/claims.ts';
import type { NodeAlerts } from '../facts/node-alerts.ts';
import type { PoolModels } from '../compile/sequence.ts';
import type { OperatorAnswer } from './answers.ts';
import type { BanRecord } from './bans.ts';
import type { Membership } from '../membership/reconcile.ts';
import type { DomainRecord } from './domains.ts';
import type { NodeDrain } from './drains.ts';
import type { People } from './people.ts';
import type { IsolationShare } from './isolation-rules.ts';
import type { GatewayRecord } from './gateway-record.ts';

export interface NodeRecord {
  readonly id: string;
  readonly name: string;
  readonly operator: PrincipalId;
  readonly publicKey: string;
  readonly enrolledAtMs: number;
  lastSeenAtMs: number | null;
  /** Whether the event log says last that it is online. */
  toldOnline: boolean;
  address: string | null;
  agentVersion: string | null;
  declarationSerial: number;
  /** Null until the first declaration: no consent to anything. */
  consent: Consent | null;
  concurrency: number | null;
  /** Those in force; the audits of the digests that it serves are among them. */
  claims: Claim[];
  memberships: ReadonlyMap<string, Membership>;
  /** What its operator has answered with its account, by Subcloud id. */
  answers: ReadonlyMap<string, OperatorAnswer>;
  document: DocumentRecord | undefined;
  /** Not stored: pools in which the agent has nothing in flight, of those that the document of this serial is draining. */
  drained: { readonly serial: number; readonly pools: readonly string[] };
  /** Not stored: what the last pass admitted of active memberships, by Subcloud id. */
  admitted: ReadonlyMap<string, Admitted>;
  /** Not stored: the facts as policies read them, see facts-of.ts. */
  facts: NodeFacts | undefined;
  /** When a live link last confirmed everything that is measured; 0: none did. The store has it as when it was last seen. */
  confirmedAtMs: number;
  /** Not stored: when to look again though nothing happens, and as of when that was said. */
  dueMs: number | null;
  decidedAtMs: number;
  /** Not stored: the table version in which the node last lost something; 0 when nothing since start. */
  lossVersion: number;
  /** Out of service by its operator's word, in every pool; undefined: in service. */
  drain?: NodeDrain | undefined;
  /** Not stored: what its operator should know of its links. */
  alerts?: NodeAlerts | undefined;
}

export interface Admitted {
  readonly models: readonly string[];
  /** Earliest expiry of the claims that it rests on. */
  readonly validUntil: number | null;
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
  /** The gateways that it names, as `gatewaysText` writes them. */
  readonly gateways: string;
  readonly issuedAtMs: number;
}

export interface SubcloudRecord {
  readonly id: string;
  readonly name: string;
  readonly owner: PrincipalId | null;
  readonly revision: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** Null for the global network, whose manifest is `network`. */
  readonly manifest: SubcloudManifest | null;
  /** Of the global network alone. */
  readonly network: NetworkManifest | null;
  readonly source: string;
  readonly effectiveHash: string;
  readonly participation: { readonly mode: 'open' | 'semi-open' | 'private'; readonly autoJoin: boolean };
  readonly stakes?: readonly CompiledPolicy[];
  readonly cooldownMs: number;
  /** What an operator's rule may read of it. */
  readonly labels: Readonly<Record<string, string>>;
  readonly allows: readonly string[];
  readonly isolation: Isolation;
  readonly access: AccessClause;
  readonly routing: RoutingClause | undefined;
  /** Requests at the same time whose places at its members other pools may not take. */
  readonly reserve: number | undefined;
  readonly policy: CompiledPolicy;
}

export interface RetiredName {
  readonly owner: PrincipalId;
  readonly deletedAtMs: number;
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

export interface AttesterRecord {
  readonly name: string;
  readonly publicKey: string;
  /** Null: the network's. Else what it says counts in Subclouds of this principal alone. */
  readonly owner: PrincipalId | null;
  readonly facts: ReadonlySet<string>;
  /** Operators about whose nodes it may attest; null: all. */
  readonly operators: ReadonlySet<string> | null;
  readonly createdAtMs: number;
  readonly revokedAtMs: number | null;
}

export interface World {
  readonly networkId: string;
  readonly epoch: number;
  readonly nodes: Map<string, NodeRecord>;
  readonly subclouds: Map<string, SubcloudRecord>;
  readonly subcloudByName: Map<string, string>;
  /** Names of Subclouds that were deleted, with the last owner: kept from everybody else for a while. */
  readonly retiredNames: Map<string, RetiredName>;
  /** By SHA-256 hex of the secret. */
  readonly credentials: Map<string, CredentialRow>;
  places: readonly PlaceRecord[];
  /** By name, revoked ones too. The network itself, which signs as `network`, is none of them. */
  readonly attesters: Map<string, AttesterRecord>;
  /** Audits in force by model digest. Each node that serves the digest has them among its claims as well. */
  readonly audits: Map<string, readonly Claim[]>;
  /** By node id: what agents and measurements said that was revoked. */
  readonly revokedStatements: Map<string, readonly RevokedStatement[]>;
  /** Those in force, by id. */
  readonly bans: Map<string, BanRecord>;
  /** Places that people have named, by id. */
  readonly domains: Map<string, DomainRecord>;
  readonly people: People;
  /** Live bindings by id: offered, active, declined. */
  readonly bindings: Map<string, BindingRecord>;
  /** Not stored, but counted from what is: who takes part in the share that auto-join may isolate. */
  readonly isolationShare: IsolationShare;
  /** By id, removed ones too: their keys never return. */
  readonly gateways: Map<string, GatewayRecord>;
  /** Not stored: node id -> its links, newest last. A node without one is offline. */
  readonly links: Map<string, LinkRecord[]>;
  /**
   * Not stored: gateways that went silent, or that an earlier run of control knew, and that have not told their links
   * since; with when that was noticed, ms. Answers may be in flight over links that only they know.
   */
  readonly unheard: Map<string, number>;
}

export const GLOBAL_ID = 'global';

export function isOnline(world: World, nodeId: string): boolean {
  return (world.links.get(nodeId)?.length ?? 0) > 0;
}
