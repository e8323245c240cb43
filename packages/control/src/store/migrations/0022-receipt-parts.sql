-- An answer that went on elsewhere has a half from each node: which nodes may sign beside the last, in order.
alter table receipt_halves add column earlier jsonb not null default '[]';
alter table receipt_halves drop constraint receipt_halves_pkey;
alter table receipt_halves add primary key (request_id, side, node_id);
