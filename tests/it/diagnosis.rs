//! Each way to tamper with a trail, and the finding that names it.
