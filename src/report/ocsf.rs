//! A report as findings of the Open Cybersecurity Schema Framework, for a SIEM: class Compliance Finding (2003), one finding
//! a control.
//!
//! Source: OCSF 1.8.0 (<https://schema.ocsf.io/1.8.0/classes/compliance_finding>). Times are milliseconds since 1970. What the
//! schema has no attribute for is under `unmapped`: measured values, limits, sizes of populations. Charts and rows of tables
//! are left out.
//!
//! | ours | `compliance.status_id` | `severity_id` |
//! |---|---|---|
//! | pass | 1 Pass | 1 Informational |
//! | fail | 3 Fail | 4 High |
//! | unknown | 2 Warning, which OCSF defines as "did not yield a result due to missing information" | 3 Medium |
//! | not applicable | 99 Other | 1 Informational |
//!
//! The finding's own `status_id`, which says what a reader did about it, is 1 (New) always.

use serde_json::{Map, Value, json};

use super::{
    model::{Control, Obtained, Report, Status},
    names::finding_id,
};

/// The release of OCSF that findings conform to.
pub const VERSION: &str = "1.8.0";
/// Class Compliance Finding.
const CLASS: i64 = 2003;
/// Activity Create: a report's findings are new with it.
const CREATE: i64 = 1;
/// What the criteria are from.
const STANDARD: &str =
    "AICPA Trust Services Criteria (TSP section 100, 2017, revised points of focus 2022)";

/// One finding a control, in the report's order.
#[must_use]
pub fn findings(report: &Report) -> Vec<Value> {
    let finding = |control| finding(report, control);
    report.controls.iter().map(finding).collect()
}

/// As one JSON array, with a newline behind it.
#[must_use]
pub fn array(report: &Report) -> Vec<u8> {
    let mut text = Value::Array(findings(report)).to_string().into_bytes();
    text.push(b'\n');
    text
}

/// As JSON lines, one finding each.
#[must_use]
pub fn lines(report: &Report) -> Vec<u8> {
    let line = |finding: Value| finding.to_string() + "\n";
    findings(report)
        .into_iter()
        .map(line)
        .collect::<String>()
        .into()
}

fn finding(report: &Report, control: &Control) -> Value {
    let uid = finding_id(report, control);
    let made = report.generated_at.as_millisecond();
    let (severity_id, severity) = severity(control.status);
    let mut finding = json!({
        "activity_id": CREATE,
        "activity_name": "Create",
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Compliance Finding",
        "type_uid": CLASS * 100 + CREATE,
        "type_name": "Compliance Finding: Create",
        "time": made,
        "start_time": report.period.start.as_millisecond(),
        "end_time": report.period.end.as_millisecond(),
        "timezone_offset": 0,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": 1,
        "status": "New",
        "status_code": control.status.name(),
        "status_detail": control.reason,
        "message": format!("{}: {}", control.title, control.reason),
        "metadata": metadata(report, &uid),
        "finding_info": {
            "uid": uid,
            "title": control.title,
            "desc": control.reason,
            "created_time": made,
            "types": [report.report_type],
            "data_sources": sources(control),
        },
        "compliance": compliance(control),
        "resources": resources(report),
        "unmapped": unmapped(report, control),
    });
    if !control.remedy.is_empty() {
        finding["remediation"] = json!({ "desc": control.remedy });
    }
    if !control.obtained.is_empty() {
        finding["evidences"] = control.obtained.iter().map(evidence).collect();
    }
    finding
}

fn severity(status: Status) -> (i64, &'static str) {
    match status {
        Status::Fail => (4, "High"),
        Status::Unknown => (3, "Medium"),
        Status::Pass | Status::NotApplicable => (1, "Informational"),
    }
}

fn metadata(report: &Report, uid: &str) -> Value {
    let provenance = &report.provenance;
    json!({
        "version": VERSION,
        "product": {
            "name": provenance.program,
            "vendor_name": provenance.program,
            "version": provenance.version,
        },
        "uid": uid,
        "correlation_uid": report.id,
        "tenant_uid": report.organization.id.to_string(),
        "log_name": report.report_type,
        "log_version": report.report_version,
    })
}

fn compliance(control: &Control) -> Value {
    let (status_id, status) = match control.status {
        Status::Pass => (1, "Pass"),
        Status::Unknown => (2, "Warning"),
        Status::Fail => (3, "Fail"),
        Status::NotApplicable => (99, "Not applicable"),
    };
    let criteria = control.evidence_for.iter();
    let requirements: Vec<String> = criteria
        .map(|criterion| match criterion.about.as_str() {
            "" => criterion.id.clone(),
            about => format!("{} {about}", criterion.id),
        })
        .collect();
    json!({
        "control": control.id,
        "desc": format!(
            "{} Evidence for the criteria named, and no statement that they are met.",
            control.requirement
        ),
        "requirements": requirements,
        "standards": [STANDARD],
        "status_id": status_id,
        "status": status,
        "status_code": control.status.name(),
        "status_details": [control.reason],
    })
}

/// The organisation, and the database that was asked.
fn resources(report: &Report) -> Value {
    let (organization, provenance) = (&report.organization, &report.provenance);
    let mut whose = json!({
        "uid": organization.id.to_string(),
        "type": "QWED organization",
    });
    if let Some(name) = &organization.name {
        whose["name"] = json!(name);
    }
    let database = json!({
        "name": provenance.qwed_database,
        "type": format!("QWED database ({})", provenance.qwed_dialect),
    });
    json!([whose, database])
}

fn sources(control: &Control) -> Vec<Value> {
    let mut sources: Vec<Value> = Vec::new();
    for obtained in &control.obtained {
        let source = json!(obtained.origin);
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    sources
}

fn evidence(obtained: &Obtained) -> Value {
    json!({ "name": obtained.origin, "data": obtained })
}

fn unmapped(report: &Report, control: &Control) -> Value {
    let measures = control.measured.iter();
    let measured: Map<String, Value> = measures
        .map(|measure| {
            let value = match &measure.unit {
                Some(unit) => json!({ "value": measure.value, "unit": unit }),
                None => json!({ "value": measure.value }),
            };
            (measure.name.clone(), value)
        })
        .collect();
    let tables = control.tables.iter();
    let tables: Map<String, Value> = tables
        .map(|table| (table.name.clone(), json!({ "rows": table.rows_total })))
        .collect();
    json!({
        "disclaimer": report.disclaimer,
        "evidence_for": control.evidence_for,
        "limits": control.limits,
        "measured": measured,
        "tables": tables,
        "configuration_sha256": report.provenance.configuration_sha256,
    })
}
