-- What must not be erased for the time being, and who said so. Holds are never deleted: they end or are released.
CREATE TABLE hold (
    id TEXT PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    -- NULL: everybody and everything of the organisation.
    user_id BIGINT,
    reason TEXT NOT NULL,
    -- NULL: until it is released.
    ends_at BIGINT,
    placed_at BIGINT NOT NULL,
    placed_by TEXT NOT NULL,
    released_at BIGINT,
    released_by TEXT,
    release_reason TEXT
);
CREATE INDEX hold_open ON hold (organization_id, user_id) WHERE released_at IS NULL;
