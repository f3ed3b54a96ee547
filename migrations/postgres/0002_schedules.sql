-- What the schedules remember. Times are microseconds since 1970 UTC.

-- How far each definition (expression and time zone) has been considered. A changed one starts anew.
CREATE TABLE schedule_cursor (
    schedule TEXT NOT NULL,
    definition TEXT NOT NULL,
    considered_until BIGINT NOT NULL,
    PRIMARY KEY (schedule, definition)
);

-- The primary key decides who fires: there is no leader.
CREATE TABLE schedule_fire (
    schedule TEXT NOT NULL,
    fire_time BIGINT NOT NULL,
    decision TEXT NOT NULL CHECK (decision IN ('fired', 'skipped_late', 'skipped_overlap')),
    job_id TEXT,
    decided_at BIGINT NOT NULL,
    PRIMARY KEY (schedule, fire_time)
);

-- What an operator said overrides the file.
CREATE TABLE schedule_pause (
    schedule TEXT PRIMARY KEY,
    paused BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
