-- The trace that a job or a message belongs to, as a traceparent of W3C's Trace Context; NULL where none came with it.
ALTER TABLE job ADD COLUMN traceparent TEXT;
ALTER TABLE outbox ADD COLUMN traceparent TEXT;
