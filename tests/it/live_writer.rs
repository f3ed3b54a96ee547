//! A running QWED is never disturbed.
