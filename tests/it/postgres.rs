//! The same verdicts on PostgreSQL.
