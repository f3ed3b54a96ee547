//! `trailkeeper erase execute`.

use super::{
    super::{
        Exit, Failure,
        store::{block_on, load},
    },
    One, advance, answer,
};
use crate::{
    config::Config,
    erasure::{self, Request, State},
    export::{self, Removed},
    objects::Vault,
};

/// Erases, and removes the subject's exports once all is erased. A request that was carried out before has them removed as well.
pub(super) fn run(arguments: &One) -> Result<Exit, Failure> {
    let input = &arguments.input;
    let request = advance(
        arguments,
        "erase execute",
        async |office, request, progress| erasure::execute(office, request, progress).await,
    )?;
    if request.state == State::Completed {
        forget_exports(&load(input.config.as_deref())?, &request)?;
    }
    answer(input, &request)
}

/// That exports stay does not undo what was erased.
fn forget_exports(config: &Config, request: &Request) -> Result<(), Failure> {
    let forgotten = block_on(async {
        let vault = Vault::open_for_exports(config)?;
        export::forget(&vault, request.organization_id, request.user_id).await
    })?;
    let problem = match forgotten {
        Ok(Removed { refused: 0, .. }) => return Ok(()),
        Ok(Removed { refused, .. }) => format!("the store keeps {refused} of them"),
        Err(error) => error.to_string(),
    };
    eprintln!("exports of this user were not removed: {problem}; the same command tries again");
    Ok(())
}
