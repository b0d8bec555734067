-- Who may ask: API keys by the SHA-256 of their text, which is kept nowhere. The row with the highest version counts: a key is
-- written once, and once more when it is revoked.
CREATE TABLE IF NOT EXISTS cairn.api_keys {{on_cluster}}
(
    id String COMMENT 'Part of the key that names it',
    sha256 String COMMENT 'Of the whole key, hex',
    org_id String COMMENT 'The one organisation whose trail it opens',
    role LowCardinality(String) COMMENT 'viewer, analyst, auditor, admin',
    scopes Array(LowCardinality(String)) COMMENT 'What it may of what its role may',
    name String,
    created_by String COMMENT 'Id of the key with which it was made, or cli',
    created_at DateTime64(3, 'UTC'),
    expires_at DateTime64(3, 'UTC'),
    revoked_ms Int64 COMMENT 'Milliseconds since 1970; 0 while it stands',
    version Int64
)
ENGINE = {{replicated}}ReplacingMergeTree(version)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Searches that somebody gave a name.
CREATE TABLE IF NOT EXISTS cairn.saved_searches {{on_cluster}}
(
    org_id String,
    id UUID,
    name String,
    search String COMMENT 'In the search language',
    owner String COMMENT 'Who saved it: key:<id> or the token of a person',
    is_deleted UInt8,
    version Int64 COMMENT 'Microseconds since 1970'
)
ENGINE = {{replicated}}ReplacingMergeTree(version)
ORDER BY (org_id, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
