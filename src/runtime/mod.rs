//! What runs jobs: transport and life cycle. Knows no job kind.

pub mod amqp;
