//! What each of QWED's tables is about: whose a row is, and which columns are personal.

use crate::trail::tombstone::{JSON_MARKER, MARKER};

/// What the archive knows of one of QWED's tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Whose organisation and user a row is about.
    pub(crate) about: About,
    /// Columns that are encrypted.
    pub(crate) personal: &'static [&'static str],
    /// Those of them that no two rows may share, so that a marker has to tell rows apart.
    pub(crate) unique: &'static [&'static str],
    /// Those of them that hold JSON.
    pub(crate) json: &'static [&'static str],
}

/// Where a row says whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// It is an organisation.
    Organization,
    /// It is a user.
    User,
    /// In `organization_id`, and in this column of users if there is one.
    Columns(Option<&'static str>),
    /// With the agent that `agent_id` names.
    Agent,
}

/// The audit trail, which is archived in steps. All other tables are archived whole, each time.
pub(crate) const TRAIL: &str = "verificationlog";

/// All tables of QWED's, each behind those that it refers to.
pub(crate) const TABLES: [Table; 10] = [
    Table {
        name: "organization",
        about: About::Organization,
        personal: &["name", "display_name"],
        unique: &["name"],
        json: &[],
    },
    Table {
        name: "user",
        about: About::User,
        personal: &["email", "password_hash"],
        unique: &["email"],
        json: &[],
    },
    Table {
        name: "resourcequota",
        about: About::Columns(None),
        personal: &[],
        unique: &[],
        json: &[],
    },
    Table {
        name: "apikey",
        about: About::Columns(Some("user_id")),
        personal: &["key_hash", "key_preview", "name"],
        unique: &["key_hash"],
        json: &[],
    },
    Table {
        name: "agent",
        about: About::Columns(Some("created_by_user_id")),
        personal: &["name", "description", "agent_token"],
        unique: &["agent_token"],
        json: &[],
    },
    Table {
        name: "agentpermission",
        about: About::Agent,
        personal: &["resource"],
        unique: &[],
        json: &[],
    },
    Table {
        name: TRAIL,
        about: About::Columns(Some("user_id")),
        personal: &["query", "result", "raw_llm_output"],
        unique: &[],
        json: &["result"],
    },
    Table {
        name: "securityevent",
        about: About::Columns(Some("user_id")),
        personal: &["query", "reason"],
        unique: &[],
        json: &[],
    },
    Table {
        name: "agentactivity",
        about: About::Agent,
        personal: &["description", "input_data", "output_data", "ip_address"],
        unique: &[],
        json: &[],
    },
    Table {
        name: "toolcall",
        about: About::Agent,
        personal: &["tool_params", "approved_by", "result", "blocked_reason"],
        unique: &[],
        json: &["tool_params"],
    },
];

/// The table of this name.
pub(crate) fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

impl Table {
    pub(crate) fn is_personal(&self, column: &str) -> bool {
        self.personal.contains(&column)
    }

    /// What stands for a value whose key was destroyed.
    pub(crate) fn marker(&self, column: &str, id: i64) -> String {
        if self.json.contains(&column) {
            JSON_MARKER.to_owned()
        } else if self.unique.contains(&column) {
            format!("{MARKER} {id}")
        } else {
            MARKER.to_owned()
        }
    }
}
