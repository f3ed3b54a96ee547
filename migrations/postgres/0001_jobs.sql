-- The job table, and what decides that nothing is done twice. Times are microseconds since 1970 UTC.
CREATE TABLE job (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    queue TEXT NOT NULL,
    payload TEXT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('queued', 'running', 'retrying', 'succeeded', 'dead', 'cancelled')),
    priority BIGINT NOT NULL,
    run_at BIGINT NOT NULL,
    -- Runs that count against max_attempts; a clean shutdown gives one back.
    attempt BIGINT NOT NULL DEFAULT 0,
    max_attempts BIGINT NOT NULL,
    -- How often a worker vanished while it ran this job: then it runs alone.
    crashes BIGINT NOT NULL DEFAULT 0,
    -- Counts every claim and every rescue. Whoever writes names the number that it was given.
    fence BIGINT NOT NULL DEFAULT 0,
    -- NULL while nobody runs it. A running job without a lease waits for its children.
    lease_owner TEXT,
    lease_until BIGINT,
    cancel_requested BIGINT NOT NULL DEFAULT 0,
    -- Held from enqueueing to the first claim.
    unique_key TEXT,
    parent_id TEXT REFERENCES job (id) ON DELETE CASCADE,
    part BIGINT,
    open_children BIGINT NOT NULL DEFAULT 0,
    -- Bytes that only the kind understands: a waiting parent's plan, a child's result for its parent.
    memo BYTEA,
    progress_done BIGINT,
    progress_total BIGINT,
    outcome TEXT,
    error TEXT,
    source TEXT NOT NULL,
    schedule TEXT,
    fire_time BIGINT,
    worker TEXT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT
);

CREATE INDEX job_due ON job (priority DESC, run_at, id) WHERE state IN ('queued', 'retrying');
CREATE INDEX job_listed ON job (created_at DESC, id DESC) WHERE parent_id IS NULL;
CREATE INDEX job_counted ON job (state, kind);
CREATE INDEX job_leased ON job (lease_until) WHERE lease_owner IS NOT NULL;
CREATE INDEX job_finished ON job (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX job_parent ON job (parent_id, part) WHERE parent_id IS NOT NULL;
CREATE INDEX job_of_schedule ON job (schedule) WHERE schedule IS NOT NULL AND finished_at IS NULL;
CREATE UNIQUE INDEX job_unique ON job (unique_key) WHERE unique_key IS NOT NULL;

-- Messages taken in. The key makes a second delivery harmless.
CREATE TABLE inbox (
    source TEXT NOT NULL,
    message_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    reply_to TEXT,
    correlation_id TEXT,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (source, message_id)
);

CREATE INDEX inbox_replies ON inbox (job_id) WHERE reply_to IS NOT NULL;
CREATE INDEX inbox_received ON inbox (received_at);

-- Messages to send, written in the transaction that they tell of.
CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    subject TEXT,
    exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    correlation_id TEXT,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    -- Hidden until then: while somebody sends it, and between tries.
    due_at BIGINT NOT NULL
);

CREATE INDEX outbox_due ON outbox (due_at, id);
