/** The tables of the newest migration, as kysely sees them. bigint columns are read as numbers (times and counters stay below 2^53). */
import type { ColumnType, Generated, GeneratedAlways, JSONColumnType } from 'kysely';

interface NodeTable {
  id: string;
  name: string;
  operator: string;
  public_key: string;
  enrolled_at: number;
  removed_at: number | null;
  last_seen_at: number | null;
  address: string | null;
  agent_version: string | null;
  declaration_serial: number;
  consent: JSONColumnType<object> | null;
  concurrency: number | null;
  declaration: JSONColumnType<object> | null;
  told_online: Generated<boolean>;
  drained_at: number | null;
  drained_by: string | null;
  drain_reason: string | null;
}
interface AttesterTable {
  name: string;
  public_key: string;
  owner: string | null;
  facts: JSONColumnType<object>;
  operators: JSONColumnType<object> | null;
  created_at: number;
  created_by: string;
  revoked_at: number | null;
}
interface ClaimTable {
  id: string;
  node_id: string | null;
  digest: string | null;
  fact: string;
  value: JSONColumnType<object>;
  source: string;
  issuer: string;
  issuer_owner: string | null;
  issued_at: number;
  confirmed_at: number;
  expires_at: number | null;
  document: JSONColumnType<object> | null;
  content_hash: string | null;
  revoked_at: number | null;
  revoked_by: string | null;
}
interface GroupColumns {
  id: string;
  display_name: string | null;
  created_at: number;
  created_by: string;
}
interface TokenColumns {
  id: string;
  principal: string;
  name: string | null;
  hash: string;
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
}

export interface Schema {
  network: {
    only_row: Generated<boolean>;
    id: string;
    network_key: string;
    admin_token_hash: string;
    epoch: number;
    table_version_reserved: number;
    created_at: number;
  };
  principals: { id: string; created_at: number; network_role: string | null };
  organisations: GroupColumns;
  teams: GroupColumns & { organisation: string };
  group_members: { group_id: string; principal: string; role: string; since: number; added_by: string };
  accounts: {
    principal: string;
    kind: string;
    organisation: string | null;
    email: string | null;
    email_verified: boolean;
    display_name: string | null;
    password_hash: string | null;
    created_at: number;
    created_by: string;
    disabled_at: number | null;
  };
  oidc_identities: { issuer: string; subject: string; principal: string; created_at: number };
  sessions: {
    hash: string;
    principal: string;
    created_at: number;
    last_seen_at: number;
    expires_at: number;
  };
  invitations: {
    id: string;
    token_hash: string;
    group_id: string | null;
    role: string | null;
    network_role: string | null;
    principal: string | null;
    email: string | null;
    created_at: number;
    created_by: string;
    expires_at: number;
    answered_at: number | null;
    answer: string | null;
    answered_by: string | null;
  };
  subcloud_transfers: { subcloud_id: string; recipient: string; offered_at: number; offered_by: string };
  subcloud_delegates: { subcloud_id: string; principal: string; since: number; added_by: string };
  account_keys: TokenColumns & { last_used_at: Generated<number | null> };
  join_tokens: {
    id: string;
    operator: string;
    hash: string;
    created_at: number;
    expires_at: number;
    revoked_at: number | null;
    uses: Generated<number>;
  };
  nodes: NodeTable;
  attesters: AttesterTable;
  claims: ClaimTable;
  subclouds: {
    id: string;
    name: string;
    owner: string | null;
    revision: number;
    created_at: number;
    updated_at: number;
    deleted_at: number | null;
  };
  revisions: {
    subcloud_id: string;
    number: number;
    manifest: JSONColumnType<object>;
    source: string;
    content_hash: string;
    effective_hash: string;
    created_at: number;
    created_by: string;
  };
  memberships: {
    node_id: string;
    subcloud_id: string;
    state: string;
    reason: string;
    since: number;
    active_since: number | null;
    assigned: boolean;
    cooldown_from: number | null;
    drains_to: string | null;
  };
  operator_answers: {
    node_id: string;
    subcloud_id: string;
    answer: string;
    isolation: string;
    answered_by: string;
    at: number;
  };
  bans: {
    id: string;
    subcloud_id: string;
    kind: string;
    subject: string;
    reason: string | null;
    banned_by: string;
    at: number;
    lifted_at: number | null;
    lifted_by: string | null;
  };
  subcloud_tokens: TokenColumns & {
    subcloud_id: string;
    scopes: JSONColumnType<object> | null;
    models: JSONColumnType<object> | null;
    limits: JSONColumnType<object> | null;
    last_used_at: number | null;
    previous_hash: string | null;
    previous_until: number | null;
  };
  bindings: {
    id: string;
    subcloud_id: string;
    bound: string;
    state: string;
    since: number;
    changed_by: string;
  };
  node_documents: {
    node_id: string;
    epoch: number;
    serial: number;
    table_version: number;
    document: JSONColumnType<object>;
    agreed: JSONColumnType<object>;
    acknowledged: boolean;
    issued_at: number;
  };
  domains: { id: string; owner: string | null; number: number; deleted_at: number | null };
  domain_versions: {
    domain_id: string;
    number: number;
    version: string;
    title: string;
    members: JSONColumnType<string[]>;
    unclear: JSONColumnType<string[]>;
    created_at: number;
    created_by: string;
  };
  drafts: { subcloud_id: string; source: string; content_hash: string; created_at: number; created_by: string };
  places: { cidr: string; country: string; subdivision: string | null };
  events: {
    id: Generated<number>;
    at: number;
    kind: string;
    node_id: string | null;
    subcloud_id: string | null;
    principal: string | null;
    actor: string;
    reason: string;
    detail: JSONColumnType<object>;
  };
  quotas: { holder: string; limits: JSONColumnType<object> };
  event_log: { only_row: Generated<boolean>; dropped_to: Generated<number> };
  /** Rows are never changed; all but `entry` follows from it. */
  audit: {
    sequence: GeneratedAlways<number>;
    entry: ColumnType<string, string, never>;
    hash: GeneratedAlways<string>;
    at: GeneratedAlways<number>;
    request_id: GeneratedAlways<string>;
    actor: GeneratedAlways<string>;
    action: GeneratedAlways<string>;
    subject: GeneratedAlways<string>;
  };
  idempotency_keys: {
    id: string;
    fingerprint: string;
    request_id: string;
    created_at: number;
    status: number | null;
    answer: Buffer | null;
  };
  audit_seals: {
    sequence: ColumnType<number, number, never>;
    document: JSONColumnType<object, string, never>;
    certificate: JSONColumnType<object, string, never>;
  };
  usage: {
    gateway: string;
    sequence: number;
    request_id: string;
    at: number;
    principal: string;
    credential: string;
    pool: string;
    model: string;
    node_id: string;
    /** Nodes that answered parts of it before; null: none. */
    continued_from: string[] | null;
    prompt_tokens: number;
    completion_tokens: number;
    estimated: boolean;
    status: number;
    duration_ms: number;
  };
  gateways: {
    id: string;
    name: string | null;
    url: string | null;
    by: string;
    public_key: string | null;
    enrolled_at: number | null;
    removed_at: number | null;
  };
  gateway_leases: { gateway_id: string; boot: string; leased_at: number };
  gateway_tokens: {
    id: string;
    name: string | null;
    hash: string;
    created_at: number;
    expires_at: number;
    revoked_at: number | null;
    gateway_id: string | null;
  };
  usage_days: {
    day: number;
    principal: string;
    pool: string;
    model: string;
    requests: number;
    prompt_tokens: number;
    completion_tokens: number;
    estimated: number;
  };
  usage_rolled: { gateway: string; sequence: number };
  receipt_certificates: { hash: string; certificate: string; signing_key: string; network_key: string; at: number };
  receipt_batches: { hash: string; document: string; certificate: string; at: number };
  receipt_halves: {
    request_id: string;
    side: 'routing' | 'serving';
    at: number;
    principal: string;
    node_id: string;
    pool: string;
    batch: string;
    index: number;
    leaf: string;
    path: JSONColumnType<string[]>;
    /** Of a routing half: nodes that had earlier parts of the answer, in order. */
    earlier: Generated<unknown>;
  };
  decisions: {
    request_id: string;
    at: number;
    principal: string | null;
    pool: string | null;
    record: JSONColumnType<object>;
  };
}
