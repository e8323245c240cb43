-- Named domains that the network's admin (owner null) or an owner defines, every version of them, and drafts of revisions.

create table domains (
  -- As manifests write it: NAME, or OWNER/NAME.
  id text primary key,
  owner text references principals (id),
  -- The newest version. It goes on counting when a deleted domain is defined again: a version never means two lists.
  number integer not null check (number > 0),
  deleted_at bigint
);

create table domain_versions (
  domain_id text not null references domains (id),
  number integer not null,
  version text not null,
  title text not null,
  members jsonb not null,
  unclear jsonb not null,
  created_at bigint not null,
  created_by text not null,
  primary key (domain_id, number)
);

-- At most one draft a Subcloud, decided beside the revision in force and read by nothing that changes memberships.
create table drafts (
  subcloud_id text primary key references subclouds (id),
  source text not null,
  content_hash text not null,
  created_at bigint not null,
  created_by text not null
);
