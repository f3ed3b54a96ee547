//! Canonical JSON against CPython's own.
