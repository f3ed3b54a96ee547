-- Who consented to what, and who withdrew it: one chain for each organisation, hashed and signed as QWED's trail is.
-- Records are only ever added. docs/consent.md says what is hashed, to the byte.
CREATE TABLE consent (
    organization_id BIGINT NOT NULL,
    -- The record's place in its organisation's chain, from 1.
    sequence BIGINT NOT NULL,
    -- The caller's name for it.
    record_id TEXT NOT NULL,
    -- user, email or subject.
    subject_kind TEXT NOT NULL,
    -- As it is looked up: an e-mail address in lower case.
    subject TEXT NOT NULL,
    user_id BIGINT,
    -- granted or withdrawn.
    status TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    -- What was said, as JSON.
    query TEXT NOT NULL,
    -- What was noted about it, as JSON.
    result TEXT NOT NULL,
    verifier_version TEXT NOT NULL,
    previous_hash TEXT,
    entry_hash TEXT NOT NULL,
    hmac_signature TEXT NOT NULL,
    PRIMARY KEY (organization_id, sequence)
);
CREATE UNIQUE INDEX consent_record ON consent (organization_id, record_id);
CREATE INDEX consent_subject ON consent (organization_id, subject_kind, subject, sequence);
