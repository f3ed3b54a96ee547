-- What each verification came to. Kept for longer than its job, since reports go back over quarters.
CREATE TABLE verification_run (
    job_id TEXT PRIMARY KEY,
    -- The schedule that wanted it, and when; NULL if somebody else did.
    schedule TEXT,
    fire_time BIGINT,
    began_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    -- whole, part, or period.
    extent TEXT NOT NULL,
    -- JSON: the organisations that were asked for; empty for all of them.
    organizations TEXT NOT NULL,
    verdict TEXT NOT NULL,
    entries BIGINT NOT NULL,
    -- JSON: the verdict of each organisation that was not intact, by id.
    not_intact TEXT NOT NULL
);
CREATE INDEX verification_run_ended ON verification_run (ended_at);
CREATE INDEX verification_run_fired ON verification_run (schedule, fire_time);
CREATE TABLE report (
    id TEXT PRIMARY KEY,
    -- soc2.
    kind TEXT NOT NULL,
    organization_id BIGINT NOT NULL,
    period_start BIGINT NOT NULL,
    period_end BIGINT NOT NULL,
    generated_at BIGINT NOT NULL,
    passed BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    unknown BIGINT NOT NULL,
    not_applicable BIGINT NOT NULL,
    -- Of the document, in hexadecimal.
    sha256 TEXT NOT NULL,
    -- JSON.
    document TEXT NOT NULL,
    -- The auditor pack's name in the archive.
    pack TEXT,
    job_id TEXT
);
CREATE INDEX report_listed ON report (organization_id, generated_at DESC, id DESC);
