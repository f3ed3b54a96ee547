-- The newest verdict on each organisation's trail; organisation '' stands for entries that belong to none.
CREATE TABLE verdict (
    organization TEXT PRIMARY KEY,
    verdict TEXT NOT NULL CHECK (verdict IN ('intact', 'incomplete', 'tampered')),
    -- The last verdict that was not tampered: what it would have to be again to count as restored.
    sound TEXT,
    -- When the trail came to have this verdict, and when it was last found to.
    since BIGINT NOT NULL,
    checked_at BIGINT NOT NULL,
    entries BIGINT NOT NULL,
    findings BIGINT NOT NULL,
    job_id TEXT NOT NULL
);
