-- Accounts of people and of programs, sessions, invitations, Subclouds on their way to another owner.
-- Passwords stand here as argon2id; tokens of sessions and invitations as SHA-256.

create table accounts (
  principal text primary key references principals (id),
  kind text not null check (kind in ('person', 'service')),
  -- Of a service account alone: whose it is.
  organisation text references organisations (id),
  -- A login name. Verified: by the network admin who gave it, or by the OpenID provider.
  email text unique check (email = lower(email)),
  email_verified boolean not null default false,
  display_name text,
  password_hash text,
  created_at bigint not null,
  created_by text not null,
  disabled_at bigint,
  constraint accounts_service check ((kind = 'service') = (organisation is not null)),
  constraint accounts_login check (kind = 'person' or (email is null and password_hash is null))
);
create table oidc_identities (
  issuer text not null,
  subject text not null,
  principal text not null references accounts (principal),
  created_at bigint not null,
  primary key (issuer, subject)
);
create table sessions (
  hash text primary key,
  principal text not null references accounts (principal),
  created_at bigint not null,
  last_seen_at bigint not null,
  expires_at bigint not null
);
create index sessions_principal on sessions (principal);

create table invitations (
  id text primary key,
  token_hash text not null unique,
  -- Null: into the network alone.
  group_id text references principals (id),
  role text check (role in ('owner', 'admin', 'member', 'viewer')),
  network_role text check (network_role in ('admin', 'auditor')),
  principal text references principals (id),
  email text,
  created_at bigint not null,
  created_by text not null,
  expires_at bigint not null,
  answered_at bigint,
  answer text check (answer in ('accepted', 'declined', 'revoked')),
  answered_by text,
  constraint invitations_to check ((principal is null) <> (email is null)),
  constraint invitations_into check ((group_id is null) = (role is null)),
  constraint invitations_answer check ((answered_at is null) = (answer is null))
);
create index invitations_principal on invitations (principal);
create index invitations_group on invitations (group_id);

create table subcloud_transfers (
  subcloud_id text primary key references subclouds (id),
  recipient text not null references principals (id),
  offered_at bigint not null,
  offered_by text not null
);
