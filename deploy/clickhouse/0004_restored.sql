-- Events that were loaded back from the archive after their day had left cairn.events. They lie apart from it: there every
-- offset between the lowest row and the highest is a row or a declared gap, and here are only the days that were asked for.
-- A day goes as a whole when its time is over (services/archival), and a segment's events go when its retention ends.
CREATE TABLE IF NOT EXISTS cairn.restored_events {{on_cluster}} AS cairn.events
ENGINE = {{replicated}}MergeTree
PARTITION BY append_day
PRIMARY KEY (org_id, toStartOfHour(timestamp), agent_id)
ORDER BY (org_id, toStartOfHour(timestamp), agent_id, session_id, timestamp)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1;

-- What was asked for, and how far it came; the latest row of a day and organisation counts. Only a day that is `restored`
-- is answered from cairn.restored_events, so a restoration that was cut off shows nothing half.
CREATE TABLE IF NOT EXISTS cairn.restored_days {{on_cluster}}
(
    day Date COMMENT 'Day on which the broker appended the events',
    org_id String COMMENT 'Organisation whose events were asked for; empty: all',
    state LowCardinality(String) COMMENT 'restoring, restored, dropped',
    run String COMMENT 'The restoration that is at it; the latest alone may insert',
    until DateTime64(3, 'UTC') COMMENT 'The job that drops hot days lets it be until then',
    segments UInt32 COMMENT 'Segments of the archive that hold events of this day',
    events UInt64 COMMENT 'Rows of this day and organisation',
    changed_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = {{replicated}}ReplacingMergeTree(changed_at)
ORDER BY (day, org_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
