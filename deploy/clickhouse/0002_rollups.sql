-- Calls by the hour of the event. A call ends in one event: an outcome, or a single one when it was denied. These are
-- views over cairn.events; ClickHouse answers tools_by_hour and agents_by_hour from the projection calls_by_hour and reads
-- no row.

-- What each tool was used for.
CREATE VIEW IF NOT EXISTS cairn.tools_by_hour {{on_cluster}} AS
SELECT
    org_id,
    toStartOfHour(timestamp) AS hour,
    service,
    tool_name,
    result_status,
    count() AS calls,
    sum(latency_ms) AS latency_ms_sum,
    max(latency_ms) AS latency_ms_max
FROM cairn.events
WHERE kind IN ('tool_call', 'resource_read', 'prompt_get') AND phase IN ('outcome', 'single')
GROUP BY org_id, toStartOfHour(timestamp), service, tool_name, result_status;

-- What each agent did.
CREATE VIEW IF NOT EXISTS cairn.agents_by_hour {{on_cluster}} AS
SELECT
    org_id,
    hour,
    agent_id,
    sum(ended) AS calls,
    sumIf(ended, result_status = 'denied') AS denied,
    sumIf(ended, result_status IN ('failure', 'timeout', 'cancelled')) AS failed,
    sum(found) AS redacted
FROM
(
    SELECT
        org_id,
        toStartOfHour(timestamp) AS hour,
        agent_id,
        result_status,
        count() AS ended,
        countIf(notEmpty(redactions)) AS found
    FROM cairn.events
    WHERE kind IN ('tool_call', 'resource_read', 'prompt_get') AND phase IN ('outcome', 'single')
    GROUP BY org_id, toStartOfHour(timestamp), agent_id, result_status
)
GROUP BY org_id, hour, agent_id;

-- Quantiles of the latency (0.5, 0.95, 0.99), read from the rows: groups of an hour are small, and a digest of a small
-- group is as large as its values, so keeping it would cost a byte of each event and its share of every merge.
CREATE VIEW IF NOT EXISTS cairn.latency_by_hour {{on_cluster}} AS
SELECT
    org_id,
    toStartOfHour(timestamp) AS hour,
    service,
    tool_name,
    result_status,
    quantilesTDigest(0.5, 0.95, 0.99)(latency_ms) AS latency_ms_quantiles
FROM cairn.events
WHERE kind IN ('tool_call', 'resource_read', 'prompt_get') AND phase IN ('outcome', 'single')
GROUP BY org_id, toStartOfHour(timestamp), service, tool_name, result_status;
