//! Trails written by the real QWED releases: equal to QWED 8.0.0's own verdicts.
