//! What the tests share.

pub(crate) mod amqp_client;
pub(crate) mod appended;
pub(crate) mod ceph;
pub(crate) mod loaded;
pub(crate) mod ministack;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod rabbitmq;
pub(crate) mod s3;
pub(crate) mod store;
pub(crate) mod tamper;
pub(crate) mod tools;
pub(crate) mod trails;
pub(crate) mod worker;
