//! Whom an API key of QWED's belongs to, by QWED 8.0.0's rules.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{ReadError, Reader, live::micros};
use crate::trail::hash::to_hex;

/// Behind the secret, so that the same secret is of no use elsewhere.
const PURPOSE: &[u8] = b":qwed_api_key_lookup";
/// What keys begin with.
const PREFIXES: [&str; 2] = ["qwed_live_", "qwed_test_"];
/// Characters behind the prefix of keys of today: 30, and 6 that check them.
const BODY: usize = 36;
/// Characters behind the prefix of older keys.
const OLD_BODY: usize = 43;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// An API key as it is looked up. It can be made of a key, and no key of it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHash(String);

impl KeyHash {
    /// The hash of a key; none where QWED issued no such key.
    #[must_use]
    pub fn of(secret: &str, key: &str) -> Option<Self> {
        if !is_well_formed(key) {
            return None;
        }
        let secret = [secret.as_bytes(), PURPOSE].concat();
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).ok()?;
        mac.update(key.as_bytes());
        let hex = to_hex(&mac.finalize().into_bytes().into());
        Some(Self(String::from_utf8_lossy(&hex).into_owned()))
    }
}

/// Whether a key is of a shape that QWED issues.
fn is_well_formed(key: &str) -> bool {
    let body = PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix));
    let Some(body) = body.map(str::as_bytes) else {
        return false;
    };
    match body.len() {
        BODY if body.iter().all(u8::is_ascii_alphanumeric) => {
            let (random, sum) = body.split_at(BODY - 6);
            checksum(random) == *sum
        }
        OLD_BODY => body
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)),
        _ => false,
    }
}

/// CRC-32 (IEEE) in base 62.
fn checksum(bytes: &[u8]) -> [u8; 6] {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let mut rest = !crc;
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

/// An owner or admin who calls for their organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The API key's id.
    pub api_key_id: i64,
    /// The organisation, which is all that they see.
    pub organization_id: i64,
}

/// Why an API key opens nothing. QWED checks in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// There is no such key, or it is not live.
    Key,
    /// Its user is gone, inactive or of another organisation.
    User,
    /// The organisation is gone or inactive.
    Organization,
    /// The user is neither owner nor admin.
    Role,
}

impl Reader {
    /// Whom the key belongs to, if it may be used by an admin at `now`, in microseconds since 1970.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn caller(
        &mut self,
        hash: &KeyHash,
        now: i64,
    ) -> Result<Result<Caller, Denied>, ReadError> {
        let is = |column: &str| format!("CASE WHEN {column} THEN 1 ELSE 0 END");
        let sql = format!(
            "SELECT k.id, k.organization_id, {}, CASE WHEN k.revoked_at IS NULL THEN 0 ELSE 1 END, {}, \
             {}, u.organization_id, u.role, {}, CASE WHEN k.expires_at IS NULL THEN 0 ELSE 1 END \
             FROM apikey AS k LEFT JOIN \"user\" AS u ON u.id = k.user_id \
             LEFT JOIN organization AS o ON o.id = k.organization_id WHERE k.key_hash = '{}'",
            is("k.is_active"),
            self.time_column("k.expires_at"),
            is("u.is_active"),
            is("o.is_active"),
            hash.0,
        );
        let rows = self.texts(&sql)?;
        Ok(rows.first().map_or(Err(Denied::Key), |row| judge(row, now)))
    }
}

fn judge(row: &[Option<String>], now: i64) -> Result<Caller, Denied> {
    let column = |index: usize| row.get(index).and_then(Option::as_deref);
    let number = |index: usize| column(index).and_then(|text| text.parse::<i64>().ok());
    let is = |index: usize| column(index) == Some("1");
    let (Some(api_key_id), Some(organization_id)) = (number(0), number(1)) else {
        return Err(Denied::Key);
    };
    let is_expired = is(9)
        && column(4)
            .and_then(micros)
            .is_none_or(|expires_at| expires_at <= now);
    if !is(2) || is(3) || is_expired {
        return Err(Denied::Key);
    }
    if !is(5) || number(6) != Some(organization_id) {
        return Err(Denied::User);
    }
    if !is(8) {
        return Err(Denied::Organization);
    }
    if !matches!(column(7), Some("owner" | "admin")) {
        return Err(Denied::Role);
    }
    Ok(Caller {
        api_key_id,
        organization_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_one_of_two_shapes() {
        let old = format!("qwed_live_{}", "A".repeat(43));
        assert!(is_well_formed(&old));
        assert!(is_well_formed(&old.replace("live", "test")));
        for wrong in ["", "qwed_live_", "qwed_live_a", "qwed_prod_a"] {
            assert!(!is_well_formed(wrong));
        }
        assert!(!is_well_formed(&format!("{old}A")));
        let random = "a".repeat(30);
        let sum = checksum(random.as_bytes());
        let sum = String::from_utf8_lossy(&sum);
        // By zlib.crc32(b"a" * 30) in CPython.
        assert_eq!(sum, "1yLcDB");
        assert!(is_well_formed(&format!("qwed_live_{random}{sum}")));
        assert!(!is_well_formed(&format!("qwed_live_{random}000000")));
    }

    #[test]
    fn what_is_checked_first_is_what_is_told() {
        let row = |texts: [&str; 10]| -> Vec<Option<String>> {
            let text = |text: &str| (text != "-").then(|| text.to_owned());
            texts.into_iter().map(text).collect()
        };
        let now = 1_000;
        let good = ["7", "1", "1", "0", "-", "1", "1", "owner", "1", "0"];
        let with = |index: usize, value: &'static str| {
            let mut texts = good;
            texts[index] = value;
            judge(&row(texts), now).err()
        };
        assert_eq!(with(0, "7"), None);
        assert_eq!(with(7, "admin"), None);
        assert_eq!(with(2, "0"), Some(Denied::Key));
        assert_eq!(with(3, "1"), Some(Denied::Key));
        // A time of expiry that nobody can read has passed.
        assert_eq!(with(9, "1"), Some(Denied::Key));
        assert_eq!(with(5, "0"), Some(Denied::User));
        assert_eq!(with(6, "2"), Some(Denied::User));
        assert_eq!(with(6, "-"), Some(Denied::User));
        assert_eq!(with(8, "0"), Some(Denied::Organization));
        for role in ["member", "viewer", "-", "Owner"] {
            assert_eq!(with(7, role), Some(Denied::Role));
        }
        let until = |micros: &'static str| {
            let mut texts = good;
            (texts[4], texts[9]) = (micros, "1");
            judge(&row(texts), now).is_ok()
        };
        assert!(until("1001") && !until("1000"));
    }
}
