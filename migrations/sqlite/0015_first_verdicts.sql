-- When a trail was first looked at; what verifications of all trails said before is not about it.
ALTER TABLE verdict ADD COLUMN first_at BIGINT;
UPDATE verdict SET first_at = since;
