-- Nodes that their operators have taken out of service: since when, who said so and why. Null: in service.
alter table nodes add column drained_at bigint, add column drained_by text, add column drain_reason text;
