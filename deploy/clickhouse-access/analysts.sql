-- Who may read on a ClickHouse server: the analyst user of the query API, and dashboards (Grafana, Metabase) of one organisation each.
-- Run once by an administrator with SQL-driven access control, behind the migrations; it may be run again. docs/dashboards.md says how,
-- and how users are made, for a password stands in no file.
--
-- A user of an organisation is called cairn_org_<organisation>: the row policy reads the organisation out of the name, so that a new
-- one needs a user and nothing else. Who is called otherwise and has the role sees no row.

-- readonly = 2: a client may set what it needs (Grafana and Metabase do), but not beyond what stands here; 0 would mean no limit.
CREATE SETTINGS PROFILE IF NOT EXISTS cairn_dashboard SETTINGS
    readonly = 2,
    max_execution_time = 15 MIN 1 MAX 60,
    max_rows_to_read = 200000000 MIN 1 MAX 200000000,
    max_memory_usage = 1000000000 MIN 1 MAX 1000000000,
    max_result_rows = 1000000 MIN 1 MAX 1000000,
    max_concurrent_queries_for_user = 4 MIN 1 MAX 4,
    max_threads = 4 MIN 1 MAX 4;

-- The API itself puts readonly = 1 behind the settings of each statement, which readonly = 2 would forbid; its user has no right to write.
CREATE SETTINGS PROFILE IF NOT EXISTS cairn_api SETTINGS
    max_execution_time = 15 MIN 1 MAX 60,
    max_rows_to_read = 200000000 MIN 1 MAX 200000000,
    max_memory_usage = 1000000000 MIN 1 MAX 1000000000,
    max_result_rows = 10000 MIN 1 MAX 10000,
    max_concurrent_queries_for_user = 16 MIN 1 MAX 16;

CREATE ROLE IF NOT EXISTS cairn_analyst;

-- What is sealed is not among it; nor is any table function, dictionary or other database.
GRANT SELECT ON cairn.events TO cairn_analyst;
GRANT SELECT ON cairn.restored_events TO cairn_analyst;
GRANT SELECT ON cairn.tools_by_hour TO cairn_analyst;
GRANT SELECT ON cairn.agents_by_hour TO cairn_analyst;
REVOKE SELECT(parameters_sealed, response_sealed) ON cairn.events FROM cairn_analyst;
REVOKE SELECT(parameters_sealed, response_sealed) ON cairn.restored_events FROM cairn_analyst;

-- Rows of one organisation: of a dashboard's by its user's name, of the API's by the mark that it puts on each statement.
CREATE ROW POLICY OR REPLACE cairn_own ON cairn.events, cairn.restored_events
    USING org_id = if(currentUser() = 'cairn_api', getSetting('log_comment'), if(startsWith(currentUser(), 'cairn_org_'), substring(currentUser(), 11), ''))
    AND org_id != ''
    TO cairn_analyst;
