-- Every audit event: one row for each offset of the log that holds one. The table is the ledger of what was loaded:
-- the offsets of a partition are covered exactly by rows here and ranges in cairn.ingest_gaps. Rows that Kafka still
-- holds must not be dropped: ingest takes them for lost and loads them again.
--
-- Columns carry the names of schemas/audit-event.avsc; the empty string means absent. Before them stand the facts of
-- the log, which the event itself cannot know. The archive keeps the datum whole; three kinds of columns keep less of it:
-- prev_hash only where it is not what it should be, the keyed hashes their first 16 bytes (docs/adr/0006), and the two ids
-- their random bytes, beside how far their time lies from the event's. event_id and call_id are read and searched as UUIDs
-- all the same; `SELECT *` leaves computed columns out, so name them.
CREATE TABLE IF NOT EXISTS cairn.events {{on_cluster}}
(
    topic LowCardinality(String) COMMENT 'Topic that the event was read from' CODEC(ZSTD(1)),
    partition Int32 COMMENT 'Partition of the topic',
    offset Int64 COMMENT 'Offset in the partition' CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') COMMENT 'When the broker appended it' CODEC(Delta, ZSTD(1)),
    append_day Date MATERIALIZED toDate(received_at) COMMENT 'Day of received_at; partition of this table',
    leaf_hash FixedString(32) COMMENT 'SHA-256(0x00 || entry): identity, chain link and Merkle leaf' CODEC(NONE),

    event_id_lag_ms Int64 COMMENT 'Milliseconds from timestamp to the time of event_id, its first six bytes' CODEC(T64, ZSTD(1)),
    event_id_random FixedString(10) COMMENT 'The last ten bytes of event_id' CODEC(NONE),
    event_id UUID ALIAS reinterpretAsUUID(bitOr(bitShiftLeft(toUInt128(reinterpretAsUInt64(reverse(substring(event_id_random, 3, 8)))), 64), toUInt128(bitOr(bitShiftLeft(toUInt64(toUnixTimestamp64Milli(timestamp) + event_id_lag_ms), 16), toUInt64(reinterpretAsUInt16(reverse(substring(event_id_random, 1, 2)))))))),
    org_id LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    phase LowCardinality(String) CODEC(ZSTD(1)),
    call_id_lag_ms Int64 COMMENT 'Milliseconds from timestamp less latency_ms to the time of call_id; 0 without a call' CODEC(T64, ZSTD(1)),
    call_id_random Nullable(FixedString(10)) COMMENT 'The last ten bytes of call_id' CODEC(ZSTD(1)),
    call_id Nullable(UUID) ALIAS reinterpretAsUUID(bitOr(bitShiftLeft(toUInt128(reinterpretAsUInt64(reverse(substring(call_id_random, 3, 8)))), 64), toUInt128(bitOr(bitShiftLeft(toUInt64(toUnixTimestamp64Milli(timestamp) - ifNull(latency_ms, 0) + call_id_lag_ms), 16), toUInt64(reinterpretAsUInt16(reverse(substring(call_id_random, 1, 2)))))))),
    timestamp DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    gateway_id LowCardinality(String) CODEC(ZSTD(1)),
    gateway_version LowCardinality(String) CODEC(ZSTD(1)),
    environment LowCardinality(String) CODEC(ZSTD(1)),
    capture LowCardinality(String) CODEC(ZSTD(1)),

    agent_id LowCardinality(String) CODEC(ZSTD(1)),
    agent_version LowCardinality(String) CODEC(ZSTD(1)),
    principal_type LowCardinality(String) CODEC(ZSTD(1)),
    user_id String CODEC(ZSTD(1)),
    auth_method LowCardinality(String) CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    session_source LowCardinality(String) CODEC(ZSTD(1)),
    step Nullable(Int32) CODEC(T64, ZSTD(1)),
    delegation Array(Tuple(principal String, scope String)) CODEC(ZSTD(1)),
    client_name LowCardinality(String) CODEC(ZSTD(1)),
    client_version LowCardinality(String) CODEC(ZSTD(1)),
    source_ip String CODEC(ZSTD(1)),

    protocol LowCardinality(String) CODEC(ZSTD(1)),
    protocol_version LowCardinality(String) CODEC(ZSTD(1)),
    method LowCardinality(String) CODEC(ZSTD(1)),
    service LowCardinality(String) CODEC(ZSTD(1)),
    tool_name LowCardinality(String) CODEC(ZSTD(1)),
    tool_hash LowCardinality(Nullable(FixedString(32))) CODEC(ZSTD(1)),
    action LowCardinality(String) CODEC(ZSTD(1)),
    sensitivity LowCardinality(String) CODEC(ZSTD(1)),
    data_classes Array(LowCardinality(String)) CODEC(ZSTD(1)),
    parameters_hash Nullable(FixedString(16)) COMMENT 'First 16 of the 32 bytes of the HMAC-SHA256' CODEC(ZSTD(1)),
    parameters_shape LowCardinality(String) CODEC(ZSTD(1)),
    parameters_tokens Array(Tuple(name String, token String)) CODEC(ZSTD(1)),
    parameters_kept Array(Tuple(name String, value String)) CODEC(ZSTD(1)),
    parameters_size Nullable(Int64) CODEC(ZSTD(1)),
    parameters_sealed Nullable(String) CODEC(ZSTD(1)),

    result_status LowCardinality(String) CODEC(ZSTD(1)),
    error_code LowCardinality(String) CODEC(ZSTD(1)),
    error_message String CODEC(ZSTD(1)),
    response_hash Nullable(FixedString(16)) COMMENT 'First 16 of the 32 bytes of the HMAC-SHA256' CODEC(ZSTD(1)),
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
    permission_profile LowCardinality(String) CODEC(ZSTD(1)),
    permission_profile_version LowCardinality(String) CODEC(ZSTD(1)),
    approval_id String CODEC(ZSTD(1)),
    attempt Nullable(Int32),
    items_before Nullable(Int32),
    items_after Nullable(Int32),

    decision LowCardinality(String) CODEC(ZSTD(1)),
    policy_engine LowCardinality(String) CODEC(ZSTD(1)),
    policy_set_hash LowCardinality(Nullable(FixedString(32))) CODEC(ZSTD(1)),
    rules_evaluated Array(LowCardinality(String)) CODEC(ZSTD(1)),
    rules_matched Array(LowCardinality(String)) CODEC(ZSTD(1)),
    policy_errors Array(String) CODEC(ZSTD(1)),
    enforcement LowCardinality(String) CODEC(ZSTD(1)),

    detail String CODEC(ZSTD(1)),
    epoch Int64,
    seq Int64 CODEC(Delta, ZSTD(1)),
    prev_hash String COMMENT 'Empty: the leaf_hash of the event before in the stream, as it should be' CODEC(ZSTD(1)),
    key_id LowCardinality(String) CODEC(ZSTD(1)),
    signature String COMMENT 'Empty: not signed' CODEC(ZSTD(1)),

    -- An id costs about a byte in its index; a filter that is right more often costs more than it saves.
    INDEX by_event_id event_id TYPE bloom_filter(0.025) GRANULARITY 1,
    INDEX by_session_id session_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_call_id call_id TYPE bloom_filter(0.025) GRANULARITY 1,
    INDEX by_offset offset TYPE minmax GRANULARITY 1,
    INDEX by_timestamp timestamp TYPE minmax GRANULARITY 1,

    -- How far each partition and each stream has been loaded. It lives inside the parts, so it is never ahead of the
    -- rows nor behind them. The day is one for a whole part: with it an insert looks at the parts of its day alone.
    PROJECTION heads
    (
        SELECT append_day, topic, partition, org_id, gateway_id, epoch,
               min(offset), max(offset), count(), max(seq), argMax(leaf_hash, seq)
        GROUP BY append_day, topic, partition, org_id, gateway_id, epoch
    ),

    -- The rollup of 0002_rollups.sql. It lives inside the parts as well, so it is the sum of the rows whatever fails;
    -- a table filled by a materialized view is not: a server that is killed between the two parts leaves them apart.
    PROJECTION calls_by_hour
    (
        SELECT org_id, toStartOfHour(timestamp), agent_id, service, tool_name, kind, phase, result_status,
               count(), sum(latency_ms), max(latency_ms), countIf(notEmpty(redactions))
        GROUP BY org_id, toStartOfHour(timestamp), agent_id, service, tool_name, kind, phase, result_status
    )
)
ENGINE = {{replicated}}MergeTree
PARTITION BY append_day
PRIMARY KEY (org_id, toStartOfHour(timestamp), agent_id)
-- A session's events lie together, a call's side by side: what they share compresses to nothing, and one is read at once.
ORDER BY (org_id, toStartOfHour(timestamp), agent_id, session_id, timestamp)
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
