//! Giant and deeply nested entries, memory.
