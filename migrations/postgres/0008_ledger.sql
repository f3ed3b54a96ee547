-- What was done that an auditor asks about, signed and chained, entry by entry. Entries are only ever added.
CREATE TABLE ledger (
    number BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    act TEXT NOT NULL,
    -- The signed note.
    note TEXT NOT NULL,
    -- Of the note; the next entry names it.
    sha256 TEXT NOT NULL
);
CREATE INDEX ledger_act ON ledger (act, number);
