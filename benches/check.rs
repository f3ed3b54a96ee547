//! What checking costs beyond hashing: a batch of entries in memory, canonicalised, hashed and signed, against
//! SHA-256 alone over the same bytes. One core.

use std::hint::black_box;
use std::sync::Arc;

use divan::{Bencher, counter::BytesCount};
use sha2::{Digest, Sha256};
use trailkeeper::{
    demo::generator::{Entry, Generator},
    trail::{
        check::Checker,
        keys::{Key, KeyRing},
        payload::{Form, PayloadHasher},
    },
};

fn main() {
    divan::main();
}

const ENTRIES: usize = 2000;

fn batch() -> (Vec<Entry>, Vec<Vec<u8>>) {
    let mut generator = Generator::new(Key::new("bench", &[b'k'; 40]), 3, 1);
    let entries: Vec<Entry> = (0..ENTRIES).map(|_| generator.next_entry()).collect();
    let mut hasher = PayloadHasher::default();
    let payloads = entries
        .iter()
        .map(|entry| hasher.payload(&entry.row(), Form::ALL[0]))
        .collect();
    (entries, payloads)
}

fn bytes(payloads: &[Vec<u8>]) -> BytesCount {
    BytesCount::new(payloads.iter().map(Vec::len).sum::<usize>())
}

#[divan::bench]
fn sha256_alone(bencher: Bencher<'_, '_>) {
    let (_, payloads) = batch();
    bencher.counter(bytes(&payloads)).bench_local(|| {
        for payload in &payloads {
            black_box(Sha256::digest(black_box(payload)));
        }
    });
}

#[divan::bench]
fn check(bencher: Bencher<'_, '_>) {
    let (entries, payloads) = batch();
    let ring = KeyRing::new(vec![Key::new("bench", &[b'k'; 40])]);
    let mut checker = Checker::new(Arc::new(ring));
    bencher.counter(bytes(&payloads)).bench_local(|| {
        for entry in &entries {
            let check = checker.check(&black_box(entry).row());
            assert!(check.hash_valid() && check.signature_valid());
        }
    });
}
