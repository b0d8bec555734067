-- A key that has to go goes, also when the trail cannot take that: the row that revokes it then says what the trail is owed, and whoever
-- serves the query API records it later and writes the row once more without.
ALTER TABLE cairn.api_keys {{on_cluster}} ADD COLUMN IF NOT EXISTS revocation_owed String
    COMMENT 'Who revoked it, as JSON, while no event says it; empty otherwise';
