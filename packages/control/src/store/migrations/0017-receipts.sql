-- Receipts: each half as the leaf of a signed batch, with what is needed to check it without asking anybody.
create table receipt_certificates (
  -- SHA-256 of the certificate's text.
  hash text primary key,
  certificate text not null,
  signing_key text not null,
  network_key text not null,
  at bigint not null
);
create index receipt_certificates_at on receipt_certificates (at);
create table receipt_batches (
  hash text primary key,
  document text not null,
  certificate text not null references receipt_certificates (hash),
  at bigint not null
);
create index receipt_batches_at on receipt_batches (at);
create table receipt_halves (
  request_id text not null,
  side text not null check (side in ('routing', 'serving')),
  at bigint not null,
  -- Whose request it was, and who served it: for who may read it, and never part of a receipt.
  principal text not null,
  node_id text not null,
  pool text not null,
  batch text not null references receipt_batches (hash),
  index integer not null,
  leaf text not null,
  path jsonb not null,
  primary key (request_id, side)
);
create index receipt_halves_at on receipt_halves (at);
create index receipt_halves_batch on receipt_halves (batch);
create index receipt_batches_certificate on receipt_batches (certificate);
