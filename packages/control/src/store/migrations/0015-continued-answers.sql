-- An answer that broke off and went on elsewhere is one answer: here are the nodes that began it.
alter table usage add column continued_from text[];
