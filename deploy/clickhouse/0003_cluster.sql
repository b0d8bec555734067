-- A cluster of several shards. Each shard holds whole partitions of the log (partition % shards), so the ledger of a
-- partition lies on one shard, and what is counted of it there is the truth. These tables hold nothing: they read the
-- tables of all shards, and hand rows that are inserted to the shard of their partition. Statements that name the
-- cluster are left out on a single server.
--
-- With optimize_skip_unused_shards = 1 a query that names a partition asks its shard alone.

CREATE TABLE IF NOT EXISTS cairn.events_all ON CLUSTER '{{cluster}}' AS cairn.events
ENGINE = Distributed('{{cluster}}', 'cairn', 'events', partition);

CREATE TABLE IF NOT EXISTS cairn.ingest_gaps_all ON CLUSTER '{{cluster}}' AS cairn.ingest_gaps
ENGINE = Distributed('{{cluster}}', 'cairn', 'ingest_gaps', partition);

CREATE TABLE IF NOT EXISTS cairn.stream_findings_all ON CLUSTER '{{cluster}}' AS cairn.stream_findings
ENGINE = Distributed('{{cluster}}', 'cairn', 'stream_findings', partition);

CREATE TABLE IF NOT EXISTS cairn.ingest_owners_all ON CLUSTER '{{cluster}}' AS cairn.ingest_owners
ENGINE = Distributed('{{cluster}}', 'cairn', 'ingest_owners', partition);

-- An organisation has events on several shards, so the rollups of 0002_rollups.sql are formed over all of them. Each
-- shard answers from its projection with states, which are merged.
CREATE OR REPLACE VIEW cairn.tools_by_hour ON CLUSTER '{{cluster}}' AS
SELECT
    org_id,
    toStartOfHour(timestamp) AS hour,
    service,
    tool_name,
    result_status,
    count() AS calls,
    sum(latency_ms) AS latency_ms_sum,
    max(latency_ms) AS latency_ms_max,
    quantilesTDigest(0.5, 0.95, 0.99)(latency_ms) AS latency_ms_quantiles
FROM cairn.events_all
WHERE kind IN ('tool_call', 'resource_read', 'prompt_get') AND phase IN ('outcome', 'single')
GROUP BY org_id, toStartOfHour(timestamp), service, tool_name, result_status;

CREATE OR REPLACE VIEW cairn.agents_by_hour ON CLUSTER '{{cluster}}' AS
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
    FROM cairn.events_all
    WHERE kind IN ('tool_call', 'resource_read', 'prompt_get') AND phase IN ('outcome', 'single')
    GROUP BY org_id, toStartOfHour(timestamp), agent_id, result_status
)
GROUP BY org_id, hour, agent_id;
