-- The audit log. Only `entry` is written; its place, its hash and the columns to search by follow from it here, so that
-- whoever inserts, chains. Rows are never changed or deleted.

create table audit (
  sequence bigint primary key,
  entry text not null,
  hash text not null,
  at bigint not null generated always as ((entry::jsonb ->> 'at')::bigint) stored,
  request_id text not null generated always as (entry::jsonb ->> 'requestId') stored,
  actor text not null generated always as (entry::jsonb ->> 'actor') stored,
  action text not null generated always as (entry::jsonb ->> 'action') stored,
  subject text not null generated always as (entry::jsonb ->> 'subject') stored
);
create index audit_request on audit (request_id);
create index audit_actor on audit (actor, sequence);
create index audit_subject on audit (subject, sequence);

-- Signed heads: the entry of this sequence has this hash, and so has everything before it.
create table audit_seals (
  sequence bigint primary key references audit (sequence),
  document jsonb not null,
  -- The certificate of the signing key, by the network key.
  certificate jsonb not null
);

create function audit_chain() returns trigger language plpgsql as $$
declare
  last record;
begin
  -- One writer at a time until its commit: sequence is the order of commits and has no gap.
  perform pg_advisory_xact_lock(7700002);
  select sequence, hash into last from audit order by sequence desc limit 1;
  new.sequence := coalesce(last.sequence, 0) + 1;
  new.hash := encode(sha256(convert_to(
    'subcloud/v1/audit' || E'\n' || new.sequence || E'\n' || coalesce(last.hash, repeat('0', 64)) || E'\n' || new.entry,
    'UTF8')), 'hex');
  return new;
end $$;
create trigger audit_chain before insert on audit for each row execute function audit_chain();

create function audit_refuse() returns trigger language plpgsql as $$
begin
  raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
end $$;
create trigger audit_append_only before update or delete or truncate on audit
  for each statement execute function audit_refuse();
create trigger audit_seals_append_only before update or delete or truncate on audit_seals
  for each statement execute function audit_refuse();
