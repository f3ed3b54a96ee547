//! Which rows of which tables an export has, which columns it leaves out, and what to call them to people.

use super::Target;
use crate::qwed::{
    personal::{About, TABLES, Table},
    tables::{Part, TableSchema},
};

/// Columns that are never selected: with what is in them somebody could log in, or try passwords at home.
pub(super) const WITHHELD: [&str; 3] = ["password_hash", "key_hash", "agent_token"];

/// What people are told of a list of records. Whole sentences, but for the title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// What it is called.
    pub title: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Why it is held.
    pub why: &'static str,
    /// For how long.
    pub how_long: &'static str,
}

/// A list of records to read.
#[derive(Debug, Clone)]
pub(super) struct Extract {
    /// What it is called in files.
    pub(super) name: &'static str,
    /// The table, with the columns to read only.
    pub(super) schema: TableSchema,
    pub(super) part: Part,
    pub(super) words: Words,
    /// Where the column stands that says when.
    pub(super) time: Option<usize>,
}

/// What the database has to be asked for.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) extracts: Vec<Extract>,
    /// Columns that there are and that are left out, as `table.column`.
    pub(super) withheld: Vec<String>,
    /// Tables of QWED's that this database does not have.
    pub(super) absent: Vec<&'static str>,
}

/// Columns of a tool call that show somebody's approval without showing what another person's agent did.
const APPROVAL: [&str; 7] = [
    "id",
    "agent_id",
    "tool_name",
    "approved",
    "approved_by",
    "executed",
    "timestamp",
];

impl Plan {
    /// What there is about the target in these tables.
    pub(super) fn new(schemas: &[TableSchema], target: &Target) -> Self {
        let mut plan = Self::default();
        for table in TABLES {
            let Some(schema) = schemas.iter().find(|schema| schema.name == table.name) else {
                plan.absent.push(table.name);
                continue;
            };
            if let Some(part) = part(&table, schema, schemas, target) {
                plan.add(table.name, schema, part, words(table.name), None);
            }
            if let (Target::User(subject), "toolcall") = (target, table.name)
                && has(schema, "approved_by")
            {
                let part = Part::ApprovedBy(subject.user_id);
                plan.add(
                    "toolcall_approvals",
                    schema,
                    part,
                    APPROVALS,
                    Some(&APPROVAL),
                );
            }
        }
        plan
    }

    fn add(
        &mut self,
        name: &'static str,
        schema: &TableSchema,
        part: Part,
        words: Words,
        only: Option<&[&str]>,
    ) {
        let mut schema = schema.clone();
        schema.columns.retain(|column| {
            let is_withheld = is_withheld(&schema.name, &column.name);
            if is_withheld && only.is_none() {
                let withheld = format!("{}.{}", schema.name, column.name);
                self.withheld.push(withheld);
            }
            !is_withheld && only.is_none_or(|only| only.contains(&column.name.as_str()))
        });
        let place = |name: &str| schema.columns.iter().position(|it| it.name == name);
        self.extracts.push(Extract {
            name,
            part,
            words,
            time: place("timestamp").or_else(|| place("created_at")),
            schema,
        });
    }
}

/// What a release to come calls a hash or a password is left out as well. The trail's hashes hide nothing: they prove that
/// its entries are what they were.
fn is_withheld(table: &str, column: &str) -> bool {
    let column = column.to_ascii_lowercase();
    WITHHELD.contains(&column.as_str())
        || column.contains("password")
        || column.contains("secret")
        || (table != "verificationlog" && column.ends_with("_hash"))
}

/// Which rows are about the target; `None` where the table knows nothing of such as them.
fn part(
    table: &Table,
    schema: &TableSchema,
    schemas: &[TableSchema],
    target: &Target,
) -> Option<Part> {
    let agents = schemas.iter().find(|schema| schema.name == "agent");
    let agent_has = |column| agents.is_some_and(|agents| has(agents, column));
    let of_agents = |column: &'static str, id| {
        let is_known = has(schema, "agent_id") && agent_has(column);
        is_known.then_some(Part::OfAgents(column, id))
    };
    match (target, table.about) {
        (Target::User(user), About::User) => Some(Part::Holding("id", user.user_id)),
        (Target::User(user), About::Columns(Some(column))) => {
            has(schema, column).then_some(Part::Holding(column, user.user_id))
        }
        (Target::User(user), About::Agent) => of_agents("created_by_user_id", user.user_id),
        (Target::User(_), About::Organization | About::Columns(None)) => None,
        (Target::Organization(it), About::Organization) => Some(Part::Holding("id", it.id)),
        (Target::Organization(it), _) if has(schema, "organization_id") => {
            Some(Part::Organization(Some(it.id)))
        }
        (Target::Organization(it), About::Agent) => of_agents("organization_id", it.id),
        (Target::Organization(_), _) => None,
    }
}

fn has(schema: &TableSchema, column: &str) -> bool {
    schema.columns.iter().any(|it| it.name == column)
}

const ACCOUNT: &str = "As long as there is the account, or until it is erased on request.";
const TRAIL: &str = "As long as the audit trail is kept. What was entered can be erased on request; that there was an entry stays \
                     provable.";

const APPROVALS: Words = Words {
    title: "Approvals",
    what: "Actions of agents, also of other people's, that were approved in your name. What the agent did is not shown where it is \
           about others.",
    why: "To know later who allowed an action.",
    how_long: "As long as the agent's records are kept.",
};

fn words(table: &str) -> Words {
    match table {
        "organization" => Words {
            title: "Organisation",
            what: "The organisation's name and plan, and whether it is active.",
            why: "To tell the customers of the service apart and to give each what it ordered.",
            how_long: ACCOUNT,
        },
        "user" => Words {
            title: "User account",
            what: "E-mail address, role and permissions, and when the account was made. The password is not held; of what is held to \
                   recognise it nothing is shown.",
            why: "To let people log in and to know what each may do.",
            how_long: ACCOUNT,
        },
        "resourcequota" => Words {
            title: "Limits of use",
            what: "How many requests the organisation may make.",
            why: "To share the service fairly.",
            how_long: ACCOUNT,
        },
        "apikey" => Words {
            title: "API keys",
            what: "Keys by which programs use the service: their names, their first and last characters, and when they were made, used \
                   and revoked. Never the keys themselves.",
            why: "To recognise programs and to know in whose name they act.",
            how_long: ACCOUNT,
        },
        "agent" => Words {
            title: "Agents",
            what: "Automated assistants that were registered, with their names, descriptions and limits of cost.",
            why: "To run agents and to know who is responsible for them.",
            how_long: "As long as the agent is registered.",
        },
        "agentpermission" => Words {
            title: "Permissions of agents",
            what: "What these agents may do.",
            why: "To keep agents within what they were allowed.",
            how_long: "As long as the agent is registered.",
        },
        "verificationlog" => Words {
            title: "Verification requests (the audit trail)",
            what: "Each question that was sent to be verified, the answer that was checked, the result, and when. Hashes and signatures \
                   show that an entry was not changed later.",
            why: "To be able to prove later what was checked and what came of it.",
            how_long: TRAIL,
        },
        "securityevent" => Words {
            title: "Security events",
            what: "Requests that were blocked or looked suspicious, with their text and the reason.",
            why: "To notice misuse and attacks and to look into them.",
            how_long: "As long as the records of security are kept.",
        },
        "agentactivity" => Words {
            title: "What agents did",
            what: "Actions of these agents with what went in and came out, when, at what cost, and from which network address.",
            why: "To know later what an agent did, and to limit cost.",
            how_long: "As long as the agent's records are kept.",
        },
        "toolcall" => Words {
            title: "Tools that agents used",
            what: "Each use of a tool by these agents: with which parameters, who approved it and what came of it.",
            why: "To keep dangerous actions from happening and to know later who allowed one.",
            how_long: "As long as the agent's records are kept.",
        },
        _ => Words {
            title: "Further records",
            what: "Records of the service.",
            why: "To run the service.",
            how_long: "As long as there is the account.",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_lets_somebody_in_is_read() {
        for (table, column) in [
            ("user", "password_hash"),
            ("user", "Password_Salt"),
            ("apikey", "key_hash"),
            ("apikey", "lookup_hash"),
            ("agent", "agent_token"),
            ("agent", "client_secret"),
        ] {
            assert!(is_withheld(table, column), "{table}.{column}");
        }
        for (table, column) in [
            ("verificationlog", "entry_hash"),
            ("verificationlog", "previous_hash"),
            ("apikey", "key_preview"),
            ("agent", "max_cost_per_day"),
        ] {
            assert!(!is_withheld(table, column), "{table}.{column}");
        }
    }

    #[test]
    fn every_table_has_words_of_its_own() {
        for table in TABLES {
            assert_ne!(words(table.name).title, "Further records", "{}", table.name);
        }
    }
}
