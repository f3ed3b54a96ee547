-- When what anchors cover was last checked in full. One row, and none before everything was.
CREATE TABLE full_check (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    -- When the last run began, and the anchor that it went by.
    ran_at BIGINT NOT NULL,
    anchor BIGINT NOT NULL,
    -- A round is over when everything was checked since it began.
    round_began_at BIGINT NOT NULL,
    last_round_began_at BIGINT NOT NULL,
    last_round_ended_at BIGINT NOT NULL
);
-- Tiles of anchored trees in order of organisation and number, from this one to before that of the next row.
CREATE TABLE full_check_span (
    organization_id BIGINT NOT NULL,
    tile BIGINT NOT NULL,
    checked_at BIGINT NOT NULL,
    entries BIGINT NOT NULL,
    PRIMARY KEY (organization_id, tile)
);
