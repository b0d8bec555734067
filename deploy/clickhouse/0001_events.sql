-- Every audit event: one row for each offset of the log that holds one. The table is the ledger of what was loaded:
-- the offsets of a partition are covered exactly by rows here and ranges in cairn.ingest_gaps. Rows that Kafka still
-- holds must not be dropped: ingest takes them for lost and loads them again.
--
-- Columns carry the names of schemas/audit-event.avsc; the empty string means absent. Before them stand the facts of
-- the log, which the event itself cannot know.
CREATE TABLE IF NOT EXISTS cairn.events {{on_cluster}}
(
    topic LowCardinality(String) COMMENT 'Topic that the event was read from',
    partition Int32 COMMENT 'Partition of the topic',
    offset Int64 COMMENT 'Offset in the partition' CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') COMMENT 'When the broker appended it' CODEC(Delta, ZSTD(1)),
    append_day Date MATERIALIZED toDate(received_at) COMMENT 'Day of received_at; partition of this table',
    leaf_hash FixedString(32) COMMENT 'SHA-256(0x00 || entry): identity, chain link and Merkle leaf' CODEC(NONE),

    event_id UUID CODEC(ZSTD(1)),
    org_id LowCardinality(String),
    kind LowCardinality(String),
    phase LowCardinality(String),
    call_id Nullable(UUID) CODEC(ZSTD(1)),
    timestamp DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    gateway_id LowCardinality(String),
    gateway_version LowCardinality(String),
    environment LowCardinality(String),
    capture LowCardinality(String),

    agent_id LowCardinality(String),
    agent_version LowCardinality(String),
    principal_type LowCardinality(String),
    user_id String CODEC(ZSTD(1)),
    auth_method LowCardinality(String),
    session_id String CODEC(ZSTD(1)),
    session_source LowCardinality(String),
    step Nullable(Int32) CODEC(T64, ZSTD(1)),
    delegation Array(Tuple(principal String, scope String)) CODEC(ZSTD(1)),
    client_name LowCardinality(String),
    client_version LowCardinality(String),
    source_ip String CODEC(ZSTD(1)),

    protocol LowCardinality(String),
    protocol_version LowCardinality(String),
    method LowCardinality(String),
    service LowCardinality(String),
    tool_name LowCardinality(String),
    tool_hash Nullable(FixedString(32)) CODEC(ZSTD(1)),
    action LowCardinality(String),
    sensitivity LowCardinality(String),
    data_classes Array(LowCardinality(String)) CODEC(ZSTD(1)),
    parameters_hash Nullable(FixedString(32)) CODEC(ZSTD(1)),
    parameters_shape String CODEC(ZSTD(1)),
    parameters_tokens Array(Tuple(name String, token String)) CODEC(ZSTD(1)),
    parameters_kept Array(Tuple(name String, value String)) CODEC(ZSTD(1)),
    parameters_size Nullable(Int64) CODEC(T64, ZSTD(1)),
    parameters_sealed Nullable(String) CODEC(ZSTD(1)),

    result_status LowCardinality(String),
    error_code LowCardinality(String),
    error_message String CODEC(ZSTD(1)),
    response_hash Nullable(FixedString(32)) CODEC(ZSTD(1)),
    response_size Nullable(Int64) CODEC(T64, ZSTD(1)),
    response_sealed Nullable(String) CODEC(ZSTD(1)),
    latency_ms Nullable(Int32) CODEC(T64, ZSTD(1)),
    upstream_ms Nullable(Int32) CODEC(T64, ZSTD(1)),
    redactions Array(Tuple(rule String, count Int32)) CODEC(ZSTD(1)),

    task String CODEC(ZSTD(1)),
    goal_hash Nullable(FixedString(32)) CODEC(ZSTD(1)),
    trace_id Nullable(FixedString(16)) CODEC(ZSTD(1)),
    span_id Nullable(FixedString(8)) CODEC(ZSTD(1)),
    parent_event_id Nullable(UUID) CODEC(ZSTD(1)),
    permission_profile LowCardinality(String),
    permission_profile_version LowCardinality(String),
    approval_id String CODEC(ZSTD(1)),
    attempt Nullable(Int32),
    items_before Nullable(Int32),
    items_after Nullable(Int32),

    decision LowCardinality(String),
    policy_engine LowCardinality(String),
    policy_set_hash Nullable(FixedString(32)) CODEC(ZSTD(1)),
    rules_evaluated Array(LowCardinality(String)) CODEC(ZSTD(1)),
    rules_matched Array(LowCardinality(String)) CODEC(ZSTD(1)),
    policy_errors Array(String) CODEC(ZSTD(1)),
    enforcement LowCardinality(String),

    detail String CODEC(ZSTD(1)),
    epoch Int64,
    seq Int64 CODEC(Delta, ZSTD(1)),
    prev_hash Nullable(FixedString(32)) COMMENT 'NULL: the leaf_hash of the event before in the stream, as it should be' CODEC(ZSTD(1)),
    key_id LowCardinality(String),
    signature Nullable(FixedString(64)) CODEC(ZSTD(1)),

    INDEX by_event_id event_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_session_id session_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_call_id call_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_offset offset TYPE minmax GRANULARITY 1,
    INDEX by_timestamp timestamp TYPE minmax GRANULARITY 1,

    -- How far each partition and each stream has been loaded. It lives inside the parts, so it is never ahead of the
    -- rows nor behind them.
    PROJECTION heads
    (
        SELECT topic, partition, org_id, gateway_id, epoch,
               min(offset), max(offset), count(), max(seq), argMax(leaf_hash, seq)
        GROUP BY topic, partition, org_id, gateway_id, epoch
    ),

    -- The rollup of 0002_rollups.sql. It lives inside the parts as well, so it is the sum of the rows whatever fails;
    -- a table filled by a materialized view is not: a server that is killed between the two parts leaves them apart.
    PROJECTION calls_by_hour
    (
        SELECT org_id, toStartOfHour(timestamp), agent_id, service, tool_name, kind, phase, result_status,
               count(), sum(latency_ms), max(latency_ms), quantilesTDigest(0.5, 0.95, 0.99)(latency_ms),
               countIf(notEmpty(redactions)), uniq(session_id), uniq(user_id)
        GROUP BY org_id, toStartOfHour(timestamp), agent_id, service, tool_name, kind, phase, result_status
    )
)
ENGINE = {{replicated}}MergeTree
PARTITION BY append_day
ORDER BY (org_id, toStartOfHour(timestamp), agent_id, timestamp)
SETTINGS
    -- A repeated insert of the same chunk is dropped.
    non_replicated_deduplication_window = 10000,
    -- What was acknowledged survives a power loss.
    fsync_after_insert = 1,
    fsync_part_directory = 1;

-- Offsets of the log that deliberately have no row, and why.
CREATE TABLE IF NOT EXISTS cairn.ingest_gaps {{on_cluster}}
(
    topic LowCardinality(String),
    partition Int32,
    offset_first Int64,
    offset_last Int64 COMMENT 'Inclusive',
    reason LowCardinality(String) COMMENT 'duplicate, log.control, or why the record was parked',
    field LowCardinality(String) COMMENT 'Field of the event in which it went wrong',
    detail String,
    org_id LowCardinality(String) COMMENT 'Of the duplicate; empty when unknown',
    gateway_id LowCardinality(String),
    value_sha256 String COMMENT 'SHA-256 of the parked bytes, hex',
    received_at DateTime64(3, 'UTC'),
    declared_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {{replicated}}ReplacingMergeTree(declared_at)
ORDER BY (topic, partition, offset_first, offset_last)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What is wrong with a stream, as the loader saw it: numbers missing, a second event under a number, an event of an
-- epoch that was left. A gap whose numbers stand in cairn.events is none any more: a part was lost and loaded again.
CREATE TABLE IF NOT EXISTS cairn.stream_findings {{on_cluster}}
(
    topic LowCardinality(String),
    partition Int32,
    offset Int64 COMMENT 'Of the event at which it showed',
    org_id LowCardinality(String),
    gateway_id LowCardinality(String),
    epoch Int64,
    seq Int64,
    finding LowCardinality(String) COMMENT 'gap, fork, stale-epoch',
    missing_from Nullable(Int64),
    missing_to Nullable(Int64) COMMENT 'Inclusive',
    received_at DateTime64(3, 'UTC'),
    found_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {{replicated}}ReplacingMergeTree(found_at)
ORDER BY (org_id, gateway_id, topic, partition, offset, finding)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Who may load a partition. A loader writes itself down before it reads how far the table has come, and every insert
-- demands that it is still the latest: an earlier owner that wakes up late inserts nothing.
CREATE TABLE IF NOT EXISTS cairn.ingest_owners {{on_cluster}}
(
    topic LowCardinality(String),
    partition Int32,
    epoch UInt64 COMMENT 'Rises with each owner of the partition',
    owner String,
    since DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {{replicated}}MergeTree
ORDER BY (topic, partition, epoch)
SETTINGS fsync_after_insert = 1;
