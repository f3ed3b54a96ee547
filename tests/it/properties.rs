//! What must hold for any trail.
