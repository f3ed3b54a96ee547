//! `trailkeeper token`.

use clap::{Args, Subcommand};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    Exit, Failure,
    verify::{Format, print, print_json},
};
use crate::{config::Scope, http::hash_of_token};

const AFTER: &str = "\
The token is shown once and kept nowhere. What goes into the configuration is its SHA-256, from which it cannot be made again.";

/// What `token` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token, and print what to write into the configuration
    #[command(after_help = AFTER)]
    New(New),
}

#[derive(Debug, Args)]
struct New {
    /// Whose it is, as the ledger will name them
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it may be used for, such as jobs:write; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", default_value = "read", value_parser = scope)]
    scopes: Vec<Scope>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

fn scope(text: &str) -> Result<Scope, String> {
    let found = Scope::ALL.into_iter().find(|scope| scope.name() == text);
    found.ok_or_else(|| format!("is none of {}", Scope::ALL.map(Scope::name).join(", ")))
}

/// A token and what is configured of it.
#[derive(Serialize)]
struct Document<'t> {
    token: &'t str,
    name: &'t str,
    sha256: &'t str,
    scopes: &'t [Scope],
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let Command::New(new) = &arguments.command;
    let token = make().map_err(Failure::could_not_check)?;
    let sha256 = hash_of_token(&token);
    match new.format {
        Format::Json => print_json(&Document {
            token: &token,
            name: &new.name,
            sha256: &sha256,
            scopes: &new.scopes,
        })?,
        Format::Text => print(|out| {
            let scopes: Vec<String> = new
                .scopes
                .iter()
                .map(|scope| format!("\"{scope}\""))
                .collect();
            writeln!(out, "{}\n", &*token)?;
            writeln!(out, "[[http.tokens]]")?;
            writeln!(out, "name = {:?}", new.name)?;
            writeln!(out, "sha256 = \"{sha256}\"")?;
            writeln!(out, "scopes = [{}]", scopes.join(", "))
        })?,
    }
    Ok(Exit::Intact)
}

/// 32 random bytes behind a prefix by which scanners know what they found.
pub(super) fn make() -> anyhow::Result<Zeroizing<String>> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut()).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref()));
    Ok(Zeroizing::new(format!("trailkeeper_{}", text.as_str())))
}
