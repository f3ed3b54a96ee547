-- The archive: keys of data subjects, which never go there, and what was put there.
-- A subject may have several keys, one after the other; rows that were encrypted name theirs. Erasing a subject empties
-- "wrapped" of all of them.
CREATE TABLE data_key (
    id TEXT PRIMARY KEY,
    -- organization/N, or organization/N/user/M.
    subject TEXT NOT NULL,
    -- Which key-encryption key wrapped it.
    kek_id TEXT NOT NULL,
    wrapped BYTEA,
    created_at BIGINT NOT NULL,
    destroyed_at BIGINT
);
CREATE INDEX data_key_subject ON data_key (subject);
-- Each object is noted before it is put, so that a run that was killed is gone on with.
CREATE TABLE archive_object (
    name TEXT PRIMARY KEY,
    -- segment, anchor or checkpoint.
    kind TEXT NOT NULL,
    -- Which run made it; segments of whole tables that another run made are superseded.
    run TEXT NOT NULL,
    -- QWED's table, and the organisation whose rows they are; empty for all of them.
    relation TEXT NOT NULL,
    organization TEXT NOT NULL,
    first_id BIGINT NOT NULL,
    last_id BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    -- How long it is to be kept at least.
    retain_until BIGINT NOT NULL,
    version TEXT,
    -- NULL until the store was seen to have it.
    stored_at BIGINT,
    -- Why it is not locked as configured.
    lock_problem TEXT,
    -- The manifest that names it; NULL until one does.
    manifest BIGINT
);
CREATE INDEX archive_object_reach ON archive_object (relation, organization, last_id);
CREATE INDEX archive_object_open ON archive_object (kind) WHERE manifest IS NULL;
-- Signed lists of objects, chained. The note is kept so that a manifest whose writing was cut short is written again as it was.
CREATE TABLE archive_manifest (
    number BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    note TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    retain_until BIGINT NOT NULL,
    version TEXT,
    stored_at BIGINT,
    lock_problem TEXT
);
