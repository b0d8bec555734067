-- Calls of each tool by the hour of the event. A call ends in one event: an outcome, or a single one when it was denied.
-- A rollup serves overviews; the truth is cairn.events, from which it can be rebuilt.
CREATE TABLE IF NOT EXISTS cairn.tools_by_hour {{on_cluster}}
(
    org_id LowCardinality(String),
    hour DateTime('UTC'),
    service LowCardinality(String),
    tool_name LowCardinality(String),
    result_status LowCardinality(String),
    calls SimpleAggregateFunction(sum, UInt64),
    latency_ms_sum SimpleAggregateFunction(sum, UInt64),
    latency_ms_max SimpleAggregateFunction(max, Int32),
    latency_ms_quantiles AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Int32)
)
ENGINE = {{replicated}}AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (org_id, hour, service, tool_name, result_status)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS cairn.tools_by_hour_from_events {{on_cluster}} TO cairn.tools_by_hour AS
SELECT
    org_id,
    toStartOfHour(toDateTime(timestamp, 'UTC')) AS hour,
    service,
    tool_name,
    result_status,
    count() AS calls,
    sum(toUInt64(greatest(ifNull(latency_ms, 0), 0))) AS latency_ms_sum,
    max(ifNull(latency_ms, 0)) AS latency_ms_max,
    quantilesTDigestState(0.5, 0.95, 0.99)(ifNull(latency_ms, 0)) AS latency_ms_quantiles
FROM cairn.events
WHERE kind IN ('tool_call', 'resource_read', 'prompt_get') AND phase IN ('outcome', 'single')
GROUP BY org_id, hour, service, tool_name, result_status;

-- What each agent did by the hour.
CREATE TABLE IF NOT EXISTS cairn.agents_by_hour {{on_cluster}}
(
    org_id LowCardinality(String),
    hour DateTime('UTC'),
    agent_id LowCardinality(String),
    calls SimpleAggregateFunction(sum, UInt64),
    denied SimpleAggregateFunction(sum, UInt64),
    failed SimpleAggregateFunction(sum, UInt64),
    redacted SimpleAggregateFunction(sum, UInt64) COMMENT 'Calls in which a secret or a personal value was found',
    sessions AggregateFunction(uniq, String),
    tools AggregateFunction(uniq, String),
    users AggregateFunction(uniq, String)
)
ENGINE = {{replicated}}AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (org_id, hour, agent_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS cairn.agents_by_hour_from_events {{on_cluster}} TO cairn.agents_by_hour AS
SELECT
    org_id,
    toStartOfHour(toDateTime(timestamp, 'UTC')) AS hour,
    agent_id,
    count() AS calls,
    countIf(result_status = 'denied') AS denied,
    countIf(result_status IN ('failure', 'timeout', 'cancelled')) AS failed,
    countIf(notEmpty(redactions)) AS redacted,
    uniqState(session_id) AS sessions,
    uniqState(concat(service, '/', tool_name)) AS tools,
    uniqState(user_id) AS users
FROM cairn.events
WHERE kind IN ('tool_call', 'resource_read', 'prompt_get') AND phase IN ('outcome', 'single')
GROUP BY org_id, hour, agent_id;
