//! One more entry at the end of a trail, of either kind of database.

use trailkeeper::{
    qwed::{Database, IdRange, url::DatabaseUrl},
    trail::{
        hash::to_hex,
        keys::Key,
        payload::{Form, PayloadHasher, Shape},
        row::{Row, Value},
        time::Time,
    },
};

/// SQL that appends an entry of nobody's to an organisation's trail, chained and signed as QWED does. Blocks.
pub(crate) fn nobodys_entry(url: &DatabaseUrl, organization: i64, key: &str) -> String {
    let mut reader = Database::open(url)
        .and_then(|it| it.reader())
        .expect("open");
    let whole = IdRange {
        low: i64::MIN,
        high: i64::MAX,
    };
    let last = reader.bounds(None, whole).expect("read");
    let id = last.map_or(0, |range| range.high) + 1;
    let head = reader.before(organization, i64::MAX).expect("read");
    let head = head.as_ref();
    let previous = head.map_or(Value::Null, |head| head.row().entry_hash);
    let text = |text: &'static str| Value::Text(text.as_bytes());
    let row = Row {
        id,
        organization_id: Value::Integer(organization),
        user_id: Value::Null,
        query: text("2 + 2"),
        result: text("{\"status\": \"VERIFIED\"}"),
        is_verified: Value::Bool(true),
        domain: text("MATH"),
        timestamp: Time::Text(b"2026-11-23 12:00:00.000000"),
        entry_hash: Value::Null,
        hmac_signature: Value::Null,
        previous_hash: previous,
        raw_llm_output: Value::Null,
        api_key_id: Value::Null,
        verifier_version: Value::Null,
        admission: Value::Null,
        erased: None,
    };
    let mut hasher = PayloadHasher::default();
    hasher.load(&row).expect("JSON");
    // The form that rows without the newest columns can have as well.
    let form = Form {
        shape: Shape::C,
        ..Form::ALL[0]
    };
    let hash = to_hex(&hasher.hash(&row, form).expect("hashable"));
    let signature = Key::new("", key.as_bytes()).sign(&hash);
    let show = |bytes: &[u8]| format!("'{}'", String::from_utf8_lossy(bytes));
    format!(
        "INSERT INTO verificationlog (id, organization_id, query, result, is_verified, domain, timestamp, entry_hash, \
         hmac_signature, previous_hash) VALUES ({id}, {organization}, '2 + 2', '{{\"status\": \"VERIFIED\"}}', true, 'MATH', \
         '2026-11-23 12:00:00.000000', {}, {}, {})",
        show(&hash),
        show(&signature),
        previous.text().map_or_else(|| "NULL".to_owned(), show),
    )
}
