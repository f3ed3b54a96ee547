-- API keys that were overdue when they were last checked, so that each is told of once.
CREATE TABLE overdue_api_key (
    key_id BIGINT PRIMARY KEY,
    noticed_at BIGINT NOT NULL
);
