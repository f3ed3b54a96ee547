//! How a metric of each type is made from its name, its help and its labels.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts,
};

/// Makes a metric of a type.
pub(super) trait Make: prometheus::core::Collector + Clone + 'static {
    /// What Prometheus calls the type.
    const TYPE: &'static str;

    fn make(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self>;
}

macro_rules! plain {
    ($($type:ty: $word:literal),*) => {$(
        impl Make for $type {
            const TYPE: &'static str = $word;

            fn make(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
                Self::with_opts(Opts::new(name, help))
            }
        }
    )*};
}

macro_rules! labelled {
    ($($type:ty: $word:literal),*) => {$(
        impl Make for $type {
            const TYPE: &'static str = $word;

            fn make(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
                Self::new(Opts::new(name, help), labels)
            }
        }
    )*};
}

plain!(IntCounter: "counter", IntGauge: "gauge", Gauge: "gauge");
labelled!(IntCounterVec: "counter", IntGaugeVec: "gauge", GaugeVec: "gauge");

/// From a no-op to a verification of hours.
const SECONDS: &[f64] = &[
    0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1800.0, 7200.0,
];

impl Make for Histogram {
    const TYPE: &'static str = "histogram";

    fn make(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))
    }
}

impl Make for HistogramVec {
    const TYPE: &'static str = "histogram";

    fn make(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(
            HistogramOpts::new(name, help).buckets(SECONDS.to_vec()),
            labels,
        )
    }
}

/// From a look-up by key to a walk over a trail.
const REQUEST_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0,
];

/// How long requests take, which is less than jobs do.
#[derive(Debug, Clone)]
pub struct RequestSeconds(HistogramVec);

impl std::ops::Deref for RequestSeconds {
    type Target = HistogramVec;

    fn deref(&self) -> &HistogramVec {
        &self.0
    }
}

impl prometheus::core::Collector for RequestSeconds {
    fn desc(&self) -> Vec<&prometheus::core::Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.0.collect()
    }
}

impl Make for RequestSeconds {
    const TYPE: &'static str = "histogram";

    fn make(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        let options = HistogramOpts::new(name, help).buckets(REQUEST_SECONDS.to_vec());
        HistogramVec::new(options, labels).map(Self)
    }
}
