//! Parameters as FastAPI and pydantic read them, and what they say of those that they cannot read.
//!
//! Times are read by `speedate`, which is what pydantic reads them with.

use axum::http::StatusCode;
use jiff::{civil::DateTime, tz::Offset};
use serde::Serialize;
use speedate::{Date, DateTime as Parsed, MicrosecondsPrecisionOverflowBehavior, ParseError};
use strum::EnumMessage as _;

use super::super::{Fault, Place};

/// Digits beyond which Python reads no number.
const MAX_DIGITS: usize = 4300;

/// A parameter that is wrong, as FastAPI lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invalid {
    /// What kind of wrong.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where it stands, and its name.
    pub loc: [&'static str; 2],
    /// What is wrong, in words.
    pub msg: String,
    /// What it was.
    pub input: Option<String>,
    /// What the words were made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx: Option<Context>,
}

/// What the words were made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Context {
    /// The parser's words.
    pub error: String,
}

fn fault(invalid: Invalid) -> Fault {
    Fault {
        invalid: vec![invalid],
        ..Fault::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "a parameter cannot be read",
        )
    }
}

fn location(place: Place) -> &'static str {
    match place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    }
}

/// A whole number, of any length; none where it is one that does not fit 64 bits.
///
/// # Errors
/// If it is missing, or no whole number.
pub fn integer(
    place: Place,
    name: &'static str,
    value: Option<&str>,
) -> Result<Option<i64>, Fault> {
    let loc = [location(place), name];
    let Some(text) = value else {
        return Err(fault(Invalid {
            kind: "missing",
            loc,
            msg: "Field required".to_owned(),
            input: None,
            ctx: None,
        }));
    };
    let wrong = |kind, msg: &str| {
        fault(Invalid {
            kind,
            loc,
            msg: msg.to_owned(),
            input: Some(text.to_owned()),
            ctx: None,
        })
    };
    if text.len() > MAX_DIGITS {
        return Err(wrong(
            "int_parsing_size",
            "Unable to parse input string as an integer, exceeded maximum size",
        ));
    }
    let digits = digits(text).ok_or_else(|| {
        wrong(
            "int_parsing",
            "Input should be a valid integer, unable to parse string as an integer",
        )
    })?;
    Ok(digits.parse().ok())
}

/// The digits and sign of what pydantic takes for a whole number: blanks around it, single underscores between digits and zeros
/// behind a point are allowed.
fn digits(text: &str) -> Option<String> {
    let text = text.trim();
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let body = match body.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => {
            whole
        }
        Some(_) => return None,
        None => body,
    };
    let is_digit = |c: char| c.is_ascii_digit();
    let is_good = body
        .split('_')
        .all(|part| !part.is_empty() && part.chars().all(is_digit));
    is_good.then(|| format!("{sign}{}", body.replace('_', "")))
}

/// A time, in microseconds since 1970 UTC, to which what has no offset belongs; none where it is left out.
///
/// # Errors
/// If it is no time.
pub fn time(name: &'static str, value: Option<&str>) -> Result<Option<i64>, Fault> {
    let Some(text) = value else { return Ok(None) };
    let loc = ["query", name];
    let wrong = |kind, what: &str, error: String| {
        fault(Invalid {
            kind,
            loc,
            msg: format!("Input should be a valid {what}, {error}"),
            input: Some(text.to_owned()),
            ctx: Some(Context { error }),
        })
    };
    let parsed = parse(text).map_err(|error| {
        let words = error.get_documentation().unwrap_or_default().to_owned();
        wrong("datetime_from_date_parsing", "datetime or date", words)
    })?;
    if parsed.date.year == 0 {
        let words = "year 0 is out of range".to_owned();
        return Err(wrong("datetime_parsing", "datetime", words));
    }
    // QWED fails where an offset leads out of the years 1 to 9999.
    let micros = micros(&parsed).ok_or_else(|| {
        wrong(
            "datetime_parsing",
            "datetime",
            "date value out of range".to_owned(),
        )
    })?;
    Ok(Some(micros))
}

/// A time, or else a date, whose complaint counts.
fn parse(text: &str) -> Result<Parsed, ParseError> {
    let config = speedate::DateTimeConfigBuilder::new()
        .time_config(
            speedate::TimeConfigBuilder::new()
                .microseconds_precision_overflow_behavior(
                    MicrosecondsPrecisionOverflowBehavior::Truncate,
                )
                .build(),
        )
        .build();
    match Parsed::parse_bytes_with_config(text.as_bytes(), &config) {
        Ok(parsed) => Ok(parsed),
        Err(_) => Date::parse_bytes_rfc3339(text.as_bytes()).map(|date| Parsed {
            date,
            time: speedate::Time {
                hour: 0,
                minute: 0,
                second: 0,
                microsecond: 0,
                tz_offset: None,
            },
        }),
    }
}

fn micros(parsed: &Parsed) -> Option<i64> {
    let (date, time) = (&parsed.date, &parsed.time);
    let number = |value: u8| i8::try_from(value).ok();
    let civil = DateTime::new(
        i16::try_from(date.year).ok()?,
        number(date.month)?,
        number(date.day)?,
        number(time.hour)?,
        number(time.minute)?,
        number(time.second)?,
        i32::try_from(time.microsecond).ok()?.checked_mul(1000)?,
    )
    .ok()?;
    let timestamp = Offset::UTC.to_timestamp(civil).ok()?;
    let offset = i64::from(time.tz_offset.unwrap_or(0)) * 1_000_000;
    let micros = timestamp.as_microsecond().checked_sub(offset)?;
    let start = Offset::UTC.to_timestamp(DateTime::new(1, 1, 1, 0, 0, 0, 0).ok()?);
    let is_known = micros >= start.ok()?.as_microsecond() && micros < 253_402_300_800_000_000;
    is_known.then_some(micros)
}
