use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Reader, Writer};
use crate::{
    backup::{
        BackupError,
        envelope::{DataKey, Place},
        manifest::{Kind, Object},
        owner::{Agents, Owners},
        personal::{TRAIL, table},
    },
    qwed::tables::{Cell, ColumnSchema, Record, TableSchema},
};

const COLUMNS: [&str; 7] = [
    "id",
    "organization_id",
    "user_id",
    "query",
    "domain",
    "result",
    "raw_llm_output",
];

/// Keys by subject, with their ids.
type Keys = HashMap<String, (String, DataKey)>;

fn schema(columns: &[&str]) -> TableSchema {
    let column = |name: &&str| ColumnSchema {
        name: (*name).to_owned(),
        kind: "TEXT".to_owned(),
        is_required: false,
        is_key: *name == "id",
        default: None,
    };
    TableSchema {
        name: TRAIL.to_owned(),
        columns: columns.iter().map(column).collect(),
        statements: Vec::new(),
    }
}

fn record(id: i64, organization: Cell, user: Option<i64>, fields: [Cell; 3]) -> Record {
    let [query, result, raw] = fields;
    let user = user.map_or(Cell::Null, Cell::Integer);
    let domain = Cell::Text(b"MATH".to_vec());
    Record {
        id,
        cells: vec![
            Cell::Integer(id),
            organization,
            user,
            query,
            domain,
            result,
            raw,
        ],
    }
}

/// A segment, and what it was made of.
#[derive(Clone)]
struct Made {
    object: Object,
    bytes: Vec<u8>,
    keys: Keys,
    records: Vec<Record>,
}

/// Twelve rows of three people, an organisation and a row without one, some fields NULL.
fn made() -> Made {
    let text = |text: String| Cell::Text(text.into_bytes());
    let row = |id: i64| {
        let organization = match id {
            12 => Cell::Text(b"nobody".to_vec()),
            _ => Cell::Integer(1),
        };
        let raw = match id % 3 {
            0 => Cell::Null,
            _ => Cell::Real(0.5),
        };
        let fields = [
            text(format!("what is {id}?")),
            text(format!("{{{id}}}\n")),
            raw,
        ];
        record(id, organization, (id % 4 != 0).then_some(id % 4), fields)
    };
    write((1..=12).map(row).collect())
}

fn write(records: Vec<Record>) -> Made {
    let (schema, agents) = (schema(&COLUMNS), Agents::new());
    let table = table(TRAIL).unwrap();
    let owners = Owners::new(table, &schema, &agents);
    let mut keys = Keys::new();
    for record in &records {
        let subject = owners.subject(record.id, &record.cells);
        let id = format!("key-of-{}", subject.replace('/', "-"));
        keys.entry(subject)
            .or_insert_with(|| (id, DataKey::generate().unwrap()));
    }
    let mut writer = Writer::new(table, &schema);
    for record in &records {
        let key = |subject: &str| keys.get(subject).map(|(id, key)| (id.as_str(), key));
        writer.push(record, &owners, key).unwrap();
    }
    let segment = writer.finish().unwrap().unwrap();
    let object = Object {
        kind: Kind::Segment,
        name: "segments/it".to_owned(),
        version: None,
        sha256: String::new(),
        size_bytes: 0,
        retain_until: Timestamp::MAX,
        table: TRAIL.to_owned(),
        organization: "1".to_owned(),
        first_id: segment.first_id,
        last_id: segment.last_id,
        rows: segment.rows,
    };
    Made {
        object,
        bytes: segment.bytes,
        keys,
        records,
    }
}

impl Made {
    fn read(&self) -> Result<Vec<Vec<Cell>>, BackupError> {
        self.read_as(&schema(&COLUMNS))
    }

    fn read_as(&self, schema: &TableSchema) -> Result<Vec<Vec<Cell>>, BackupError> {
        let agents = Agents::new();
        let owners = Owners::new(table(TRAIL).unwrap(), schema, &agents);
        let mut reader = Reader::new(&self.object, &self.bytes, schema)?;
        let mut rows = Vec::new();
        while let Some(mut line) = reader.next()? {
            let organization = owners.organization(line.id, &line.cells);
            if let Some(key_id) = reader.key(&line) {
                match self.keys.values().find(|(id, _)| id == key_id) {
                    Some((_, key)) => reader.reveal(&mut line, organization, key)?,
                    None => line.mark(schema, |column, _| format!("no {column}")),
                }
            }
            rows.push(line.cells);
        }
        Ok(rows)
    }

    fn lines(&self) -> Vec<Value> {
        let text = zstd::decode_all(self.bytes.as_slice()).unwrap();
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    /// The same with other lines, and with as many rows as the manifest then says.
    fn with(&self, lines: &[Value]) -> Self {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let mut other = self.clone();
        other.bytes = zstd::encode_all(text.as_bytes(), 1).unwrap();
        let rows = lines.iter().filter(|line| line.get("id").is_some());
        other.object.rows = rows.count().try_into().unwrap();
        other
    }

    /// The same with another plaintext in a block, as only who has its key can make it.
    fn resealed(&self, number: usize, change: impl FnOnce(&[u8]) -> Vec<u8>) -> Self {
        let mut lines = self.lines();
        let key_id = lines[number]["key"].as_str().unwrap().to_owned();
        let (_, key) = self.keys.values().find(|(id, _)| *id == key_id).unwrap();
        let sealed = STANDARD
            .decode(lines[number]["enc"].as_str().unwrap())
            .unwrap();
        let place = Place {
            table: TRAIL,
            organization: Some(1),
            first_id: self.object.first_id,
            last_id: self.object.last_id,
            key: &key_id,
        };
        let frame = change(&key.open(&sealed, &place).unwrap());
        lines[number]["enc"] = json!(STANDARD.encode(key.seal(&frame, &place).unwrap()));
        self.with(&lines)
    }

    fn with_block_lines(&self, number: usize, change: impl FnOnce(&mut Vec<String>)) -> Self {
        self.resealed(number, |frame| {
            let text = String::from_utf8(zstd::decode_all(frame).unwrap()).unwrap();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            change(&mut lines);
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            zstd::bulk::compress(text.as_bytes(), 1).unwrap()
        })
    }

    #[track_caller]
    fn assert_refused(&self, what: &str) {
        match self.read() {
            Err(BackupError::Broken { .. }) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
}

fn cells(made: &Made) -> Vec<Vec<Cell>> {
    made.records.iter().map(|it| it.cells.clone()).collect()
}

#[test]
fn a_segment_reads_as_documented() {
    let made = made();
    let lines = made.lines();
    let blocks = lines.iter().take_while(|line| line.get("block").is_some());
    let keys: Vec<&str> = blocks.map(|block| block["key"].as_str().unwrap()).collect();
    assert_eq!(
        keys,
        [
            "key-of-organization-1-user-1",
            "key-of-organization-1-user-2",
            "key-of-organization-1-user-3",
            "key-of-organization-1",
            "key-of-organization-none",
        ]
    );
    assert_eq!(
        lines[7],
        json!({"id": 3, "organization_id": 1, "user_id": 3, "query": {"enc": 2}, "domain": "MATH",
               "result": {"enc": 2}, "raw_llm_output": null})
    );
    let mut first = Vec::new();
    made.with_block_lines(0, |lines| first.clone_from(lines));
    assert_eq!(
        first[0],
        r#"{"id":1,"query":"what is 1?","result":"{1}\n","raw_llm_output":{"real":"0.5"}}"#
    );
    assert_eq!(made.read().unwrap(), cells(&made));
    assert_eq!(made.with(&lines).read().unwrap(), cells(&made));
    assert_eq!(
        made.resealed(0, <[u8]>::to_vec).read().unwrap(),
        cells(&made)
    );
}

#[test]
fn without_its_key_a_block_is_markers() {
    let mut made = made();
    made.keys.remove("organization/1/user/3");
    let mut expected = cells(&made);
    let marker = |column: &str| Cell::Text(format!("no {column}").into_bytes());
    for row in expected.iter_mut().filter(|row| row[2] == Cell::Integer(3)) {
        (row[3], row[5]) = (marker("query"), marker("result"));
        if row[6] != Cell::Null {
            row[6] = marker("raw_llm_output");
        }
    }
    assert_eq!(made.read().unwrap(), expected);
}

/// A column that a table had once and has no more is left out, personal or not.
#[test]
fn columns_may_be_gone() {
    let made = made();
    let rows = made
        .read_as(&schema(&["id", "organization_id", "result"]))
        .unwrap();
    let expected = made.records.iter().map(|record| {
        let cell = |index: usize| record.cells[index].clone();
        vec![cell(0), cell(1), cell(5)]
    });
    assert_eq!(rows, expected.collect::<Vec<_>>());
}

#[test]
fn lines_of_a_block_belong_to_its_rows() {
    let made = made();
    for number in 0..4 {
        let refused = |what: &str, change: &dyn Fn(&mut Vec<String>)| {
            let other = made.with_block_lines(number, |lines| {
                assert_eq!(lines.len(), if number == 3 { 2 } else { 3 });
                change(lines);
            });
            other.assert_refused(&format!("{what} in block {number}"));
        };
        refused("no line", &|lines| lines.clear());
        for at in 0..2 {
            refused("a missing line", &|lines| {
                lines.remove(at);
            });
            refused("a doubled line", &|lines| {
                let line = lines[at].clone();
                lines.insert(at, line);
            });
            refused("a line at the end", &|lines| lines.push(lines[at].clone()));
            refused("lines that were moved", &|lines| lines.swap(at, 1 - at));
            refused("a line in the place of another", &|lines| {
                lines[at] = lines[1 - at].clone();
            });
            refused("another id", &|lines| {
                lines[at] = lines[at].replacen("\"id\":", "\"id\":9", 1);
            });
            refused("a field too many", &|lines| {
                lines[at] = lines[at].replacen("{\"id\"", "{\"domain\":\"x\",\"id\"", 1);
            });
            refused("a field under another name", &|lines| {
                lines[at] = lines[at].replacen("\"query\"", "\"domain\"", 1);
            });
            refused("a field too few", &|lines| {
                lines[at] = format!("{{\"id\":{},\"query\":\"\"}}", number + 1 + 4 * at);
            });
            refused("no object", &|lines| lines[at] = "[]".to_owned());
        }
    }
}

#[test]
fn blocks_stay_where_they_are() {
    let made = made();
    let lines = made.lines();
    let refused = |what: &str, change: &dyn Fn(&mut Vec<Value>)| {
        let mut other = lines.clone();
        change(&mut other);
        made.with(&other).assert_refused(what);
    };
    for (one, other) in [(0, 1), (1, 2), (0, 4)] {
        refused("content of another block", &|lines| {
            lines[one]["enc"] = lines[other]["enc"].clone();
        });
        refused("the key of another block", &|lines| {
            lines[one]["key"] = lines[other]["key"].clone();
        });
        refused("blocks out of order", &|lines| lines.swap(one, other));
    }
    refused("a missing block", &|lines| {
        lines.remove(4);
    });
    refused("a block that no row refers to", &|lines| {
        let mut block = lines[0].clone();
        block["block"] = json!(5);
        lines.insert(5, block);
    });
    refused("a block among the rows", &|lines| lines.swap(4, 5));
    for row in 5..14 {
        refused("a missing row", &|lines| {
            lines.remove(row);
        });
        refused("a doubled row", &|lines| {
            lines.insert(row, lines[row].clone());
        });
        if row < 10 {
            refused("rows of a block out of order", &|lines| {
                lines.swap(row, row + 4)
            });
        }
        refused("another id", &|lines| lines[row]["id"] = json!(77));
        refused("another organisation", &|lines| {
            lines[row]["organization_id"] = json!(2);
        });
        refused("another block", &|lines| {
            for column in ["query", "result", "raw_llm_output"] {
                if lines[row][column].is_object() {
                    lines[row][column] = json!({"enc": (row - 4) % 4});
                }
            }
        });
        refused("two blocks", &|lines| {
            lines[row]["query"] = json!({"enc": (row - 4) % 4});
        });
        for instead in [
            json!(null),
            json!("text"),
            json!({"enc": 9}),
            json!({"enc": -1}),
        ] {
            refused("no reference", &|lines| {
                lines[row]["query"] = instead.clone()
            });
        }
        refused("a reference in another column", &|lines| {
            lines[row]["domain"] = lines[row]["query"].clone();
        });
    }
    refused("another organisation of all rows", &|lines| {
        for line in &mut lines[5..] {
            line["organization_id"] = json!(2);
        }
    });
    let changes: [fn(&mut Object); 4] = [
        |object| object.table = "securityevent".to_owned(),
        |object| object.first_id = 0,
        |object| object.last_id = 13,
        |object| object.rows = 13,
    ];
    for change in changes {
        let mut other = made.clone();
        change(&mut other.object);
        other.assert_refused("another place");
    }
}

#[test]
fn what_no_writer_makes_is_refused() {
    let made = made();
    made.resealed(0, |frame| frame[..frame.len() - 1].to_vec())
        .assert_refused("a frame cut short");
    made.resealed(0, |frame| [frame, frame].concat())
        .assert_refused("two frames");
    made.resealed(0, |_| zstd::encode_all(&b"{}\n"[..], 1).unwrap())
        .assert_refused("a frame that does not say its size");
    // 4 GiB less a byte, it says.
    made.resealed(0, |_| b"\x28\xb5\x2f\xfd\xa0\xff\xff\xff\xff".to_vec())
        .assert_refused("a frame that says too much");
}

fn field() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell::Null),
        any::<i64>().prop_map(Cell::Integer),
        ".{0,30}".prop_map(|text| Cell::Text(text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..30).prop_map(Cell::Text),
        prop::collection::vec(any::<u8>(), 0..30).prop_map(Cell::Blob),
    ]
}

proptest! {
    #[test]
    fn any_rows_come_back(
        rows in prop::collection::vec((field(), prop::option::of(0..4_i64), [field(), field(), field()]), 1..20)
    ) {
        let rows = (-3..).zip(rows);
        let made = write(rows.map(|(id, (organization, user, fields))| record(id, organization, user, fields)).collect());
        prop_assert_eq!(made.read().unwrap(), cells(&made));
    }
}
