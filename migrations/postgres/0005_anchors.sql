-- Anchors: signed statements about every organisation's trail, and what of their trees is kept to go on and to prove.
-- Each run is one inventory of all organisations, chained to the one before; it is signed, so a changed row is noticed.
CREATE TABLE anchor_run (
    number BIGINT PRIMARY KEY,
    made_at BIGINT NOT NULL,
    note TEXT NOT NULL,
    organizations BIGINT NOT NULL,
    entries BIGINT NOT NULL,
    -- Since when the archive has it; NULL while it does not.
    archived_at BIGINT
);
CREATE INDEX anchor_run_unarchived ON anchor_run (number) WHERE archived_at IS NULL;
-- The signed checkpoint of an organisation whose trail had grown since the run before, and the tree's compact frontier.
CREATE TABLE anchor_checkpoint (
    organization_id BIGINT NOT NULL,
    number BIGINT NOT NULL REFERENCES anchor_run (number),
    note TEXT NOT NULL,
    frontier BYTEA NOT NULL,
    PRIMARY KEY (organization_id, number)
);
-- 256 leaves each. The last tile of a tree may have more of them than the newest checkpoint covers.
CREATE TABLE anchor_tile (
    organization_id BIGINT NOT NULL,
    tile BIGINT NOT NULL,
    first_id BIGINT NOT NULL,
    root BYTEA NOT NULL,
    leaves BYTEA NOT NULL,
    PRIMARY KEY (organization_id, tile)
);
