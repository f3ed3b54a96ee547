-- Requests for erasure, and how far each is. Neither name nor address of a person is ever in here.
CREATE TABLE erasure (
    id TEXT PRIMARY KEY,
    -- Counts up with each change; who changes it names the one that was read.
    version BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    -- A salted hash of the organisation and the address.
    subject_ref TEXT NOT NULL,
    -- As whoever asked numbers it.
    reference TEXT,
    requester TEXT NOT NULL,
    reason TEXT,
    -- The job or command that took it in.
    source TEXT NOT NULL,
    -- Of a signed request, so that it is taken in once.
    signature TEXT UNIQUE,
    requested_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    -- Why it may take longer.
    extension TEXT,
    state TEXT NOT NULL,
    -- What it waits for, or why it ended.
    note TEXT,
    -- JSON: what is done with which table, and what was allowed beforehand.
    policy TEXT NOT NULL,
    options TEXT NOT NULL,
    -- JSON, and its digest.
    plan TEXT,
    plan_digest TEXT,
    approved_by TEXT,
    approved_at BIGINT,
    approved_digest TEXT,
    -- JSON: what was erased so far.
    progress TEXT NOT NULL,
    -- A signed note.
    certificate TEXT,
    completed_at BIGINT,
    -- When somebody was told that time runs out.
    warned_at BIGINT
);
-- One at a time for each subject.
CREATE UNIQUE INDEX erasure_open ON erasure (organization_id, user_id) WHERE state NOT IN ('completed', 'rejected', 'cancelled');
CREATE INDEX erasure_subject ON erasure (organization_id, subject_ref);
CREATE INDEX erasure_user ON erasure (organization_id, user_id);
CREATE INDEX erasure_state ON erasure (state, received_at);
-- One row: what addresses are hashed with.
CREATE TABLE erasure_salt (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    salt TEXT NOT NULL
);
