//! The command line: what people type, see and mistype.
