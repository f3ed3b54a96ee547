//! The `trailkeeper` program.

use std::process::ExitCode;

// Several threads with buffers of their own, also where the system's allocator is musl's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    trailkeeper::cli::run()
}
