-- Gateways on machines of their own: enrolled with a token, known by the key that they prove, and removed for good.
alter table gateways alter column url drop not null;
alter table gateways add column name text;
-- How it reaches control: with a key of its own over TLS, or by the socket in control's folder.
alter table gateways add column by text not null default 'socket' check (by in ('tls', 'socket'));
alter table gateways add column public_key text unique;
alter table gateways add column enrolled_at bigint;
alter table gateways add column removed_at bigint;
alter table gateways add constraint gateways_tls_key check (by = 'socket' or public_key is not null);

-- Leases by process: on another machine an earlier process of the same gateway may still serve.
create table gateway_leases (
  gateway_id text not null references gateways (id),
  boot text not null,
  leased_at bigint not null,
  primary key (gateway_id, boot)
);
insert into gateway_leases (gateway_id, boot, leased_at) select id, '', leased_at from gateways;
alter table gateways drop column leased_at;

create table gateway_tokens (
  id text primary key,
  name text,
  hash text not null unique,
  created_at bigint not null,
  expires_at bigint not null,
  revoked_at bigint,
  -- A token is good for one gateway: this one.
  gateway_id text references gateways (id)
);
