-- The first schema. Times are milliseconds since the epoch (control's clock), so that no time zone or driver rounds them.
-- Secrets stand here only as SHA-256.

create table network (
  only_row boolean primary key default true check (only_row),
  id text not null,
  network_key text not null,
  admin_token_hash text not null,
  epoch integer not null check (epoch > 0),
  -- Table versions below this may have been published; a start begins above it, so no version is ever used twice.
  table_version_reserved bigint not null,
  created_at bigint not null
);

create table principals (
  id text primary key,
  created_at bigint not null
);

create table account_keys (
  id text primary key,
  principal text not null references principals (id),
  name text,
  hash text not null unique,
  created_at bigint not null,
  expires_at bigint,
  revoked_at bigint
);

create table join_tokens (
  id text primary key,
  operator text not null references principals (id),
  hash text not null unique,
  created_at bigint not null,
  expires_at bigint not null,
  revoked_at bigint,
  uses integer not null default 0
);

create table nodes (
  id text primary key,
  name text not null,
  operator text not null references principals (id),
  public_key text not null unique,
  enrolled_at bigint not null,
  removed_at bigint,
  last_seen_at bigint,
  -- The address of the newest link; what location was measured from.
  address text,
  agent_version text,
  declaration_serial bigint not null default 0,
  consent jsonb,
  concurrency integer
);

create table claims (
  id text primary key,
  node_id text not null references nodes (id),
  fact text not null,
  value jsonb not null,
  source text not null check (source in ('declared', 'measured', 'attested')),
  issuer text not null,
  issued_at bigint not null,
  confirmed_at bigint not null,
  expires_at bigint,
  unique (node_id, fact, source, issuer)
);

create table subclouds (
  id text primary key,
  name text not null,
  -- Null for the global network alone.
  owner text references principals (id),
  revision integer not null,
  created_at bigint not null,
  updated_at bigint not null,
  deleted_at bigint
);
create unique index subclouds_live_name on subclouds (name) where deleted_at is null;

create table revisions (
  subcloud_id text not null references subclouds (id),
  number integer not null,
  manifest jsonb not null,
  source text not null,
  content_hash text not null,
  effective_hash text not null,
  created_at bigint not null,
  created_by text not null,
  primary key (subcloud_id, number)
);

create table memberships (
  node_id text not null references nodes (id),
  subcloud_id text not null references subclouds (id),
  state text not null check (state in ('invited', 'active', 'suspended', 'left', 'removed')),
  reason text not null,
  since bigint not null,
  -- When it first became active in this membership; from then on isolation is held.
  active_since bigint,
  -- The owner assigned or invited the node.
  assigned boolean not null,
  primary key (node_id, subcloud_id)
);
create index memberships_subcloud on memberships (subcloud_id);

create table subcloud_tokens (
  id text primary key,
  subcloud_id text not null references subclouds (id),
  principal text not null references principals (id),
  name text,
  hash text not null unique,
  created_at bigint not null,
  expires_at bigint,
  revoked_at bigint
);

create table node_documents (
  node_id text primary key references nodes (id),
  epoch integer not null,
  serial bigint not null,
  table_version bigint not null,
  document jsonb not null,
  -- What the agent enforces for sure, whichever of its last documents it holds: pool -> models.
  agreed jsonb not null,
  acknowledged boolean not null,
  issued_at bigint not null
);

create table places (
  cidr text primary key,
  country text not null,
  subdivision text
);

create table events (
  id bigint generated always as identity primary key,
  at bigint not null,
  kind text not null,
  node_id text,
  subcloud_id text,
  actor text not null,
  reason text not null,
  detail jsonb not null
);
create index events_node on events (node_id, id);
create index events_subcloud on events (subcloud_id, id);

create table usage (
  gateway text not null,
  sequence bigint not null,
  request_id text not null,
  at bigint not null,
  principal text not null,
  credential text not null,
  pool text not null,
  model text not null,
  node_id text not null,
  prompt_tokens integer not null,
  completion_tokens integer not null,
  estimated boolean not null,
  status integer not null,
  duration_ms double precision not null,
  primary key (gateway, sequence)
);
create index usage_at on usage (at);

create table decisions (
  request_id text primary key,
  at bigint not null,
  principal text,
  pool text,
  record jsonb not null
);
create index decisions_at on decisions (at);

-- Gateways that have had a lease, so that a restart of control knows who may still be serving by an older table.
create table gateways (
  id text primary key,
  url text not null,
  leased_at bigint not null
);
