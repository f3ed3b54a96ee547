-- Operators who are signed in to the status page.
CREATE TABLE http_session (
    -- SHA-256 of what the browser keeps, in hexadecimal: whoever reads this table cannot take a session over.
    id_sha256 TEXT PRIMARY KEY,
    operator TEXT NOT NULL,
    -- The configured hash of the token that was shown; with another token the session is over.
    token_sha256 TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
