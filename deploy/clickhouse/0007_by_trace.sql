-- Other sessions of a trace (hand-offs between agents) are found by it, wherever in the days around they lie. A granule has some
-- hundred traces, so a filter that is wrong once in a hundred granules is nearly nothing.
ALTER TABLE cairn.events {{on_cluster}} ADD INDEX IF NOT EXISTS by_trace_id trace_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE cairn.restored_events {{on_cluster}} ADD INDEX IF NOT EXISTS by_trace_id trace_id TYPE bloom_filter(0.01) GRANULARITY 1;

-- Rows that are there already get it in the background; until then their traces are looked for in all of them. No row is rewritten.
ALTER TABLE cairn.events {{on_cluster}} MATERIALIZE INDEX by_trace_id;
ALTER TABLE cairn.restored_events {{on_cluster}} MATERIALIZE INDEX by_trace_id;
