-- A request has one routing half, whichever gateway sends another: since there is a half from each node of an answer that
-- went on elsewhere, the primary key no longer said so. Of two, that of the batch that came first stays.
delete from receipt_halves later using receipt_halves first, receipt_batches later_batch, receipt_batches first_batch
where later.request_id = first.request_id and later.side = 'routing' and first.side = 'routing'
  and later_batch.hash = later.batch and first_batch.hash = first.batch
  and (later_batch.at, later.node_id) > (first_batch.at, first.node_id);
create unique index receipt_halves_routing on receipt_halves (request_id) where side = 'routing';
