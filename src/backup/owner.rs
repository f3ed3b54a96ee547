//! Whom a row is about.

use std::collections::HashMap;

use super::{
    keyring::subject,
    personal::{About, Table},
};
use crate::qwed::tables::{Cell, TableSchema};

/// The organisation and the user of agents.
pub(super) type Agents = HashMap<i64, (Option<i64>, Option<i64>)>;

/// Where the rows of a table say whom they are about.
pub(super) struct Owners<'a> {
    about: About,
    organization: Option<usize>,
    user: Option<usize>,
    agent: Option<usize>,
    agents: &'a Agents,
}

impl<'a> Owners<'a> {
    pub(super) fn new(table: &Table, schema: &TableSchema, agents: &'a Agents) -> Self {
        let index = |name: &str| schema.columns.iter().position(|it| it.name == name);
        Self {
            about: table.about,
            organization: index("organization_id"),
            user: match table.about {
                About::Columns(Some(user)) => index(user),
                _ => None,
            },
            agent: index("agent_id"),
            agents,
        }
    }

    /// The organisation that the row itself names, which is authenticated with its block.
    pub(super) fn organization(&self, id: i64, cells: &[Cell]) -> Option<i64> {
        match self.about {
            About::Organization => Some(id),
            _ => integer(cells, self.organization),
        }
    }

    /// The organisation and the user whom the row is about.
    pub(super) fn of(&self, id: i64, cells: &[Cell]) -> (Option<i64>, Option<i64>) {
        let own = self.organization(id, cells);
        match self.about {
            About::Organization => (own, None),
            About::User => (own, Some(id)),
            About::Columns(_) => (own, integer(cells, self.user)),
            About::Agent => {
                let agent = integer(cells, self.agent);
                let known = agent.and_then(|agent| self.agents.get(&agent));
                let (organization, user) = known.copied().unwrap_or_default();
                (own.or(organization), user)
            }
        }
    }

    /// Whose key encrypts the row.
    pub(super) fn subject(&self, id: i64, cells: &[Cell]) -> String {
        let (organization, user) = self.of(id, cells);
        subject(organization, user)
    }
}

fn integer(cells: &[Cell], index: Option<usize>) -> Option<i64> {
    cells.get(index?)?.integer()
}
