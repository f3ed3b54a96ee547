-- For how long the archive's objects are kept.
-- Whether a lock was prolonged and no manifest names that yet.
ALTER TABLE archive_object ADD COLUMN is_renewed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE archive_manifest ADD COLUMN is_renewed BIGINT NOT NULL DEFAULT 0;
