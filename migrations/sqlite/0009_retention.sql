-- For how long the archive's objects are kept.
-- Whether a lock was prolonged and no manifest names that yet.
ALTER TABLE archive_object ADD COLUMN is_renewed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE archive_manifest ADD COLUMN is_renewed BIGINT NOT NULL DEFAULT 0;
-- Objects whose time was over and that were removed, or were about to be.
CREATE TABLE archive_removal (
    name TEXT PRIMARY KEY,
    version TEXT,
    sha256 TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    retain_until BIGINT NOT NULL,
    -- The digest of the list that it was ordered with.
    plan TEXT NOT NULL,
    intended_at BIGINT NOT NULL,
    -- NULL until it is known to be gone.
    removed_at BIGINT,
    -- Why the store kept it, in its own words.
    refused TEXT
);
CREATE INDEX archive_removal_open ON archive_removal (name) WHERE removed_at IS NULL AND refused IS NULL;
-- Which anchors are archived, signed manifests say.
DROP INDEX anchor_run_unarchived;
ALTER TABLE anchor_run DROP COLUMN archived_at;
-- A tree is authenticated by the roots of its tiles; beside their leaves they are far apart.
CREATE INDEX anchor_tile_roots ON anchor_tile (organization_id, tile, first_id, root);
