-- Idempotency keys of the last day: hashes, and answers that only their callers can read.
create table idempotency_keys (
  -- SHA-256 over caller and key.
  id text primary key,
  -- SHA-256 over method, path and content.
  fingerprint text not null,
  request_id text not null,
  created_at bigint not null,
  -- Null: the change was made, and its answer is not stored yet.
  status integer,
  answer bytea
);
create index idempotency_keys_age on idempotency_keys (created_at);
