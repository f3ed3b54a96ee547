-- What is wrong, or was: one row for each name and set of labels. Times are microseconds since 1970 UTC.
CREATE TABLE alert (
    identity TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- JSON.
    labels TEXT NOT NULL,
    severity TEXT NOT NULL,
    summary TEXT NOT NULL,
    description TEXT NOT NULL,
    -- NULL for what is of no organisation.
    organization_id BIGINT,
    starts_at BIGINT NOT NULL,
    -- NULL while it is not so for long enough that anybody is told.
    fired_at BIGINT,
    -- Kept up to date by the minute.
    last_seen BIGINT NOT NULL,
    -- NULL while it goes on.
    ends_at BIGINT
);
CREATE INDEX alert_open ON alert (identity) WHERE ends_at IS NULL;
CREATE INDEX alert_ended ON alert (ends_at) WHERE ends_at IS NOT NULL;

-- Messages about alerts, one for each channel, written in the transaction that changes the alert.
CREATE TABLE notice (
    -- Their order: of one alert a channel gets the next when the one before is done with.
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- A UUID; a second delivery has the same.
    id TEXT NOT NULL UNIQUE,
    channel TEXT NOT NULL,
    -- NULL for one about several alerts.
    identity TEXT,
    moment TEXT NOT NULL,
    -- 0 to 2; what matters more goes first.
    urgency BIGINT NOT NULL,
    -- JSON.
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    -- Hidden until then: while somebody sends it, and between tries.
    due_at BIGINT NOT NULL,
    -- One of these when it is done with: sent, given up, or held back since there was too much to tell.
    sent_at BIGINT,
    failed_at BIGINT,
    held_at BIGINT,
    -- Of those held back: when a message said how many they were.
    summed_at BIGINT,
    -- Why the newest attempt failed.
    error TEXT
);
CREATE INDEX notice_open ON notice (channel, due_at) WHERE sent_at IS NULL AND failed_at IS NULL AND held_at IS NULL;
CREATE INDEX notice_held ON notice (channel) WHERE held_at IS NOT NULL AND summed_at IS NULL;
CREATE INDEX notice_of ON notice (identity, channel, place);
CREATE INDEX notice_sent ON notice (channel, sent_at) WHERE sent_at IS NOT NULL;
CREATE INDEX notice_created ON notice (created_at);
