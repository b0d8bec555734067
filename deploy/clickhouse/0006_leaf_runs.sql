-- Where the leaves of each log lie in its partition: archival writes it out of the segments whose checkpoints it has signed, so
-- an event that is not archived yet is in no run. Within a run each offset is one leaf, and the next offset the next leaf.
-- It is an index, as the events are: what it says is proven by the archive alone (`cairn proof --rows`).
CREATE TABLE IF NOT EXISTS cairn.leaf_runs {{on_cluster}}
(
    topic LowCardinality(String),
    partition Int32,
    offset_first Int64,
    offset_last Int64 COMMENT 'Inclusive',
    leaf_first Int64 COMMENT 'Index of the leaf at offset_first',
    written_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {{replicated}}ReplacingMergeTree(written_at)
ORDER BY (topic, partition, offset_first)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
