//! The vectors of Go's `golang.org/x/mod/sumdb/note`, and its refusals.

use super::*;

const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_SECRET: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
const PETER_SIGNATURE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH_SIGNATURE: &str = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

fn peter() -> VerifierKey {
    PETER.parse().expect("a key")
}

fn enoch() -> VerifierKey {
    ENOCH.parse().expect("a key")
}

#[test]
fn keys_are_those_of_go() {
    let secret: SecretKey = PETER_SECRET.parse().expect("a key");
    assert_eq!(secret.verifier(), peter());
    assert_eq!(secret.verifier().to_string(), PETER);
    assert_eq!(*secret.to_text(), PETER_SECRET);
    assert_eq!(format!("{secret:?}"), "SecretKey(PeterNeumann)");
    assert_eq!(peter().id().to_string(), "c74f20a3");
}

#[test]
fn a_key_that_was_cut_or_mistyped_is_refused() {
    fn refused<K: FromStr>(key: &str) {
        for begin in 0..key.len() {
            for end in begin + 1..=key.len() {
                let is_whole = (begin, end) == (0, key.len());
                assert_eq!(
                    key[begin..end].parse::<K>().is_ok(),
                    is_whole,
                    "{begin}..{end}"
                );
            }
        }
        for at in 0..key.len() {
            let mut bytes = key.as_bytes().to_vec();
            bytes[at] += 1;
            let typo = String::from_utf8(bytes).expect("ASCII");
            assert!(typo.parse::<K>().is_err(), "{typo}");
        }
    }
    refused::<VerifierKey>(PETER);
    refused::<SecretKey>(PETER_SECRET);
    let parse = |key: &str| key.parse::<VerifierKey>().expect_err("no key");
    // Longer than a key (and not canonical), and of an unknown algorithm, both with ids that fit.
    let long = "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==";
    assert_eq!(parse(long), KeyError::Form);
    assert_eq!(parse(&long.replace("KEY==", "KEQ==")), KeyError::Algorithm);
    let unknown = "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(parse(unknown), KeyError::Algorithm);
    assert_eq!(parse(PETER_SECRET), KeyError::Secret);
    assert_eq!(
        PETER.parse::<SecretKey>().expect_err("public"),
        KeyError::NotSecret
    );
    // The neutral element, for which every signature is right.
    let weak = format!(
        "x+00000000+{}",
        STANDARD.encode([&[1, 1][..], &[0; 31]].concat())
    );
    assert_eq!(parse(&weak), KeyError::Weak);
    for name in [
        "",
        "a b",
        "a+b",
        "a\u{a0}b",
        "a\nb",
        "a\u{7f}",
        &"x".repeat(256),
    ] {
        assert!(SecretKey::from_seed(name, &[7; 32]).is_err(), "{name:?}");
    }
}

#[test]
fn notes_are_signed_as_by_go() {
    let secret: SecretKey = PETER_SECRET.parse().expect("a key");
    let mut note = Note::sign(TEXT, &secret).expect("a note");
    let expected = format!("{TEXT}\n{PETER_SIGNATURE}");
    assert_eq!(note.to_string(), expected);
    note.add_signature(&secret).expect("sign");
    assert_eq!(note.to_string(), expected);
    assert_eq!(Note::from_bytes(expected.as_bytes()), Ok(note));
    for text in ["", "abc", "a\tb\n", "a\r\n"] {
        assert!(Note::sign(text, &secret).is_err(), "{text:?}");
    }
}

#[test]
fn notes_are_verified_as_by_go() {
    let note: Note = format!("{TEXT}\n{PETER_SIGNATURE}{ENOCH_SIGNATURE}")
        .parse()
        .expect("a note");
    assert_eq!(note.text(), TEXT);
    let (peter, enoch) = (peter(), enoch());
    assert_eq!(note.verify(std::slice::from_ref(&peter)), Ok(vec![&peter]));
    assert_eq!(
        note.verify(&[peter.clone(), enoch.clone()]),
        Ok(vec![&peter, &enoch])
    );
    let unknown = "PeterNeumann (c74f20a3), EnochRoot (af0cfe78)".to_owned();
    assert_eq!(note.verify(&[]), Err(VerifyError::Unknown(unknown)));

    let verify = |note: &str| {
        let note: Note = note.parse().expect("a note");
        note.verify(std::slice::from_ref(&peter))
            .map(|signers| signers.len())
    };
    // Unknown keys are ignored, also where they share a name or an id with a known one.
    let other_name = PETER_SIGNATURE.replace("PeterNeumann", "CarmenSandiego");
    let other_id = PETER_SIGNATURE.replace("x08g", "xxxx");
    assert!(matches!(
        verify(&format!("{TEXT}\n{other_name}")),
        Err(VerifyError::Unknown(_))
    ));
    assert!(matches!(
        verify(&format!("{TEXT}\n{other_id}")),
        Err(VerifyError::Unknown(_))
    ));
    assert_eq!(
        verify(&format!("{TEXT}\n{other_name}{PETER_SIGNATURE}{other_id}")),
        Ok(1)
    );
    // A forged one of a known key spoils the note, wherever it stands.
    let forged = format!("{}ABCD{}", &PETER_SIGNATURE[..60], &PETER_SIGNATURE[60..]);
    for note in [
        format!("{TEXT}\n{forged}"),
        format!("{TEXT}\n{PETER_SIGNATURE}{forged}"),
        format!("x{TEXT}\n{PETER_SIGNATURE}"),
    ] {
        assert!(
            matches!(verify(&note), Err(VerifyError::Forged { .. })),
            "{note}"
        );
    }
    // Empty lines belong to the text up to the last one.
    let secret: SecretKey = PETER_SECRET.parse().expect("a key");
    for text in [
        "\n",
        "a\n\nb\n",
        "a\n\n",
        &format!("{TEXT}\n{PETER_SIGNATURE}"),
    ] {
        let note = Note::sign(text, &secret).expect("a note").to_string();
        assert_eq!(note.parse::<Note>().expect("a note").text(), text);
        assert_eq!(verify(&note), Ok(1));
    }
}

#[test]
fn what_is_malformed_is_refused_as_by_go() {
    let many = PETER_SIGNATURE.repeat(101);
    let cut = &PETER_SIGNATURE[..PETER_SIGNATURE.len() - 1];
    let space = PETER_SIGNATURE.replace("PeterNeumann", "Bad Name");
    let dash = PETER_SIGNATURE.replace('—', "-");
    for (note, error) in [
        (TEXT.to_owned(), NoteError::NoSignatures),
        (format!("{TEXT}\n"), NoteError::NoSignatures),
        (format!("{TEXT}{PETER_SIGNATURE}"), NoteError::NoSignatures),
        (format!("\n{PETER_SIGNATURE}"), NoteError::NoSignatures),
        (
            format!("\n\n{PETER_SIGNATURE}").replacen('\n', "\r\n", 1),
            NoteError::Control,
        ),
        (
            format!("\u{1}{TEXT}\n{PETER_SIGNATURE}"),
            NoteError::Control,
        ),
        (format!("{TEXT}\n{cut}"), NoteError::Signature(1)),
        (format!("{TEXT}\n{space}"), NoteError::Signature(1)),
        (format!("{TEXT}\n{dash}"), NoteError::Signature(1)),
        (
            format!("{TEXT}\n{PETER_SIGNATURE}Unexpected.\n"),
            NoteError::Signature(2),
        ),
        (
            format!("{TEXT}\n— PeterNeumann x08goA\n"),
            NoteError::Signature(1),
        ),
        (
            format!("{TEXT}\n— PeterNeumann x08gow==\n"),
            NoteError::Signature(1),
        ),
        (format!("{TEXT}\n{many}"), NoteError::TooManySignatures),
    ] {
        assert_eq!(note.parse::<Note>(), Err(error), "{note:?}");
    }
    let bytes = [b"\xff", TEXT.as_bytes(), b"\n", PETER_SIGNATURE.as_bytes()].concat();
    assert_eq!(Note::from_bytes(&bytes), Err(NoteError::NotUtf8));
    let long = vec![b'x'; MAX_NOTE_BYTES + 1];
    assert_eq!(Note::from_bytes(&long), Err(NoteError::TooLong(long.len())));
}
