/**
 * The routing table: what control compiles and gateways route by. It travels as rows with keys, so that a change is the
 * rows that changed; a gateway derives its own indexes and swaps them at once. Immutable per version.
 *
 * Format versions: 1, 2026-11. 2, 2026-11: rows of principals; access of a pool whole, with its limits; scopes, models,
 * limits and binding of a credential; routing of a pool. 3, 2026-11: callers that are banned from a pool; `midstream`; what models of a node take
 * besides text; queue, reserve and `stallTimeoutMs` of a pool, share of a member; internal APIs of a pool; nodes out of service,
 * and where nodes are.
 */
import type { DeclaredApi } from '@subcloud/policy/internal-api';
import type { InputModality } from '@subcloud/policy/model-inputs';
import type { SignedDocument, TrustChain } from './documents.ts';
import type { VersionRange } from './versions.ts';
import type { AccessLimits, LimitSet, PrincipalId, TokenScope } from './vocabulary.ts';

export const TABLE_FORMAT = 3;
/** An older gateway would not know whom a pool bans, and a field that it does not know it takes for what it is: a restriction. */
export const TABLE_SUPPORT_FLOOR = 3;
/** What this release speaks (versions.ts). */
export const TABLE_FORMATS: VersionRange = { oldest: TABLE_SUPPORT_FLOOR, newest: TABLE_FORMAT };
/** Callers that one pool bans; each names the pool's row larger, and every change of the row travels. */
export const MAX_BANNED_CALLERS = 1_000;
/** Candidates of one node's place; where more are possible it is not known. */
export const MAX_PLACES_OF_NODE = 16;
/** A gateway serves for at most this long after the last lease that control granted. */
export const TABLE_LEASE_MS = 60_000;

export interface NetworkRow {
  readonly networkId: string;
  readonly chain: TrustChain;
}

export interface PoolRow {
  readonly id: string;
  /** `global` or the Subcloud's name. */
  readonly name: string;
  /** Null for `global`. */
  readonly owner: PrincipalId | null;
  readonly revision: number;
  /** SHA-256 of manifest and versions of the domains it names, hex. */
  readonly effectiveHash: string;
  readonly isolation: 'shared' | 'isolate' | 'exclusive';
  readonly access: PoolAccess;
  /**
   * Accounts, teams and organisations that may not call it, whatever else admits them; their answers in flight are cut.
   * Who is banned from the whole network has no credential in the table.
   */
  readonly banned?: readonly PrincipalId[] | undefined;
  /** How many nodes were considered (those that count in `excluded`, and the members). */
  readonly candidates: number;
  /** Nodes that are no active members, by reason: a clause's name, `consent`, `isolation`, `invited`, `joining`, … */
  readonly excluded: Readonly<Record<string, number>>;
  /**
   * Network ids that the policy names or that any considered node offers: they tell a mistyped model from one that is
   * away. Left out: only what members offer is known.
   */
  readonly models?: readonly string[] | undefined;
  /** How requests are routed inside it; default: by latency, with two retries. */
  readonly routing?: PoolRouting | undefined;
  /** Requests at the same time, over all its members, whose places other pools may not take. */
  readonly reserve?: number | undefined;
  /** Internal APIs that its members host, with what callers may ask of them. */
  readonly apis?: readonly DeclaredApi[] | undefined;
  /** Further names of models that callers may use in this pool, each with the network id that it stands for. */
  readonly aliases?: Readonly<Record<string, string>> | undefined;
}

/** nginx waits as long between two reads of an answer (`proxy_read_timeout`). */
export const DEFAULT_STALL_MS = 60_000;

export interface PoolRouting {
  /** `affinity`: requests that begin alike go to the same node while it is not loaded more than others. */
  readonly objective?: 'latency' | 'affinity' | undefined;
  /** Further nodes that are tried before an answer has begun. */
  readonly retries?: number | undefined;
  /** `continue`: a stream that breaks goes on at another node where it can. Default: it ends with an error event. */
  readonly midstream?: 'continue' | undefined;
  /** Longest silence of a node between its answer's first token and its end; default: DEFAULT_STALL_MS. */
  readonly stallTimeoutMs?: number | undefined;
  /** Where requests wait while all its nodes have as many as they take; default: they do not wait. */
  readonly queue?: { readonly max: number; readonly timeoutMs: number } | undefined;
}

/**
 * Who may call the pool. Of `tokens`, `whitelist` and `binding` those that are there are present; where none is, any
 * account may call.
 */
export interface PoolAccess {
  /** Default: any. */
  readonly require?: 'any' | 'all' | undefined;
  /** Tokens of this pool open it. */
  readonly tokens: boolean;
  readonly whitelist?:
    | {
        /** Accounts, teams and organisations; empty: not asked. */
        readonly principals: readonly PrincipalId[];
        /** Empty: not asked. */
        readonly cidrs: readonly string[];
      }
    | undefined;
  /** The manifest binds somebody; who is bound stands in the rows of principals and credentials. */
  readonly binding?: true | undefined;
  readonly limits?: AccessLimits | undefined;
}

export interface NodePlace {
  /** ISO 3166-1. */
  readonly country: string;
  /** ISO 3166-2. */
  readonly subdivision?: string | undefined;
}

export interface NodeRow {
  readonly id: string;
  /** Raw Ed25519 public key, base64url. */
  readonly publicKey: string;
  readonly operator: PrincipalId;
  /**
   * The address that the node's measured location was taken from. A link from any other address is not picked until
   * control has measured again: a node never routes by where it used to be.
   */
  readonly measuredAddress: string | null;
  readonly concurrency: number | null;
  /** Where it may be, by what was measured or attested; left out: not known. A caller may ask for places. */
  readonly places?: readonly NodePlace[] | undefined;
  /** Control's clock, ms: after it the places are not known; left out: they hold for the row's address. */
  readonly placesUntil?: number | undefined;
  /** Its operator has taken it out of service: it stays a member of its pools, and is picked in none of them. */
  readonly draining?: true | undefined;
  /** By network id, what those of its models take that take more than text. A model that is not in it may take it, or not. */
  readonly inputs?: Readonly<Record<string, readonly InputModality[]>> | undefined;
}

/** An active member that has acknowledged its node document: the only thing that makes a node a candidate. */
export interface MemberRow {
  readonly pool: string;
  readonly node: string;
  /** Network ids. */
  readonly models: readonly string[];
  /** Control's clock, ms; the gateway skips the row after it. Null: bound to the link alone. */
  readonly validUntil: number | null;
  /** The most of the node's concurrency that the pool may use, above 0 and at most 1; left out: all of it. */
  readonly share?: number | undefined;
  /**
   * The node is no candidate here, and its answers in flight are cut: a clause fails that says who may see a request at
   * all (location, seat, operator). A row that is just gone lets them finish. `models` is empty.
   */
  readonly cut?: true | undefined;
}

export interface CredentialRow {
  readonly id: string;
  readonly kind: 'account' | 'subcloud';
  readonly principal: PrincipalId;
  /** The Subcloud that a token opens; null for an account key. */
  readonly pool: string | null;
  readonly expiresAt: number | null;
  /** What it may be used for; left out: everything. */
  readonly scopes?: readonly TokenScope[] | undefined;
  /** Ids, aliases and globs of the models that it may name; left out: all. */
  readonly models?: readonly string[] | undefined;
  /** Narrower than those of its pool. */
  readonly limits?: LimitSet | undefined;
  /** Name of the pool that this credential alone is bound to. */
  readonly binding?: string | undefined;
}

/** Of a principal that belongs to others or is bound; one without a row is neither. */
export interface PrincipalRow {
  readonly id: PrincipalId;
  /** Teams and organisations that it belongs to, sorted. */
  readonly groups: readonly PrincipalId[];
  /** Name of the pool that it is bound to itself. */
  readonly binding?: string | undefined;
}

/** The newest document of a node, to hand to its agent. */
export interface DocumentRow {
  readonly node: string;
  readonly epoch: number;
  readonly serial: number;
  readonly document: SignedDocument;
}

export interface RowTypes {
  readonly network: NetworkRow;
  readonly pool: PoolRow;
  readonly node: NodeRow;
  readonly member: MemberRow;
  readonly credential: CredentialRow;
  readonly principal: PrincipalRow;
  readonly document: DocumentRow;
}
export type RowKind = keyof RowTypes;
export const ROW_KINDS = [
  'network',
  'pool',
  'node',
  'member',
  'credential',
  'principal',
  'document',
] as const satisfies readonly RowKind[];

/** Keys are `kind/rest`; the rest has no slash but between pool and node of a member and inside a team's id. Credentials are keyed by SHA-256 hex of the secret. */
export const rowKey = {
  network: (): string => 'network/',
  pool: (name: string): string => `pool/${name}`,
  node: (id: string): string => `node/${id}`,
  member: (pool: string, node: string): string => `member/${pool}/${node}`,
  credential: (sha256Hex: string): string => `credential/${sha256Hex}`,
  principal: (id: PrincipalId): string => `principal/${id}`,
  document: (node: string): string => `document/${node}`,
} as const;

export type TableRow = {
  [Kind in RowKind]: { readonly kind: Kind; readonly key: string; readonly value: RowTypes[Kind] };
}[RowKind];

/** The kind of a key, or undefined: a row of a kind that this release does not know is ignored by nobody, it is refused. */
export function kindOfKey(key: string): RowKind | undefined {
  const kind = key.slice(0, key.indexOf('/'));
  return ROW_KINDS.find((known) => known === kind);
}
