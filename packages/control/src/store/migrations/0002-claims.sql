-- Claims with signatures, issuers and revocation; attesters; audits, whose subject is a model digest.

create table attesters (
  -- Unique for ever: a revoked attester's name and key never return.
  name text primary key,
  public_key text not null unique,
  -- Null: the network's. Else its claims count in Subclouds of this principal alone.
  owner text references principals (id),
  facts jsonb not null,
  -- Operators about whose nodes it may attest; null: all.
  operators jsonb,
  created_at bigint not null,
  created_by text not null,
  revoked_at bigint
);

-- The newest declaration as its node signed it: the signature behind each of its declared claims.
alter table nodes add column declaration jsonb;

alter table claims
  alter column node_id drop not null,
  -- Set where the claim is about model weights, wherever they are served.
  add column digest text,
  add column issuer_owner text references principals (id),
  -- Of an attested claim: what its issuer signed.
  add column document jsonb,
  -- SHA-256 of what was signed: the same document twice is one claim, and a revoked one never comes back.
  add column content_hash text unique,
  add column revoked_at bigint,
  add column revoked_by text,
  drop constraint claims_node_id_fact_source_issuer_key,
  add constraint claims_subject check ((node_id is null) <> (digest is null)),
  add constraint claims_attested_evidence check ((source = 'attested') = (content_hash is not null and document is not null)),
  add constraint claims_revoked check ((revoked_at is null) = (revoked_by is null));

-- At most one that is in force for each issuer; revoked ones are kept.
create unique index claims_node_live on claims (node_id, fact, source, issuer) where revoked_at is null;
create unique index claims_digest_live on claims (digest, fact, source, issuer) where revoked_at is null;
create index claims_issuer on claims (issuer);
