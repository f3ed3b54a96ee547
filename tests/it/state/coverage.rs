//! What is known of full checks: noted with the end of the run, or not at all.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::json;
use trailkeeper::{
    checkpoint::coverage::{Checked, Coverage, DAY},
    state::{
        StateError, Tx,
        fault::{self, Way},
        jobs::{Effects, Ending},
        outbox::Event,
    },
};

use super::faults::{claim, finish};
use crate::support::store::{TestStore, job};

crate::on_both![slices_are_noted_with_the_end_of_their_run];

struct Note(Checked);

impl Effects for Note {
    fn apply<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Vec<Event>, StateError>> {
        Box::pin(async move { tx.note_checked(&self.0).await.map(|()| Vec::new()) })
    }
}

async fn slices_are_noted_with_the_end_of_their_run(test: TestStore) {
    let mut expected: Option<Coverage> = None;
    for (run, way) in (0_i64..).zip([
        Way::Failed,
        Way::FailedButPersisted,
        Way::Failed,
        Way::FailedButPersisted,
    ]) {
        let sizes = [(-3, 700), (5, 256 * (8 + run.cast_unsigned()))].into();
        let known = expected.as_ref();
        let checked = Checked {
            began_at: run * DAY,
            ended_at: run * DAY + 5,
            anchor: 3 + run.cast_unsigned(),
            slice: known.map(|known| known.slice(&sizes, run * DAY, 7)),
            sizes,
        };
        test.store.enqueue(&[job("a")]).await.expect("enqueue");
        let claimed = claim(&test.store).await.expect("claim").remove(0);
        let ending = Ending::Succeeded {
            outcome: json!(null),
            memo: None,
            done: None,
            events: Vec::new(),
            effects: Some(Arc::new(Note(checked.clone()))),
        };
        let finish = [finish(&claimed, ending)];
        let before = expected.clone();
        expected = Coverage::after(expected, &checked);
        fault::set("finish", way, 1);
        test.store.finish(&finish).await.expect_err("broken");
        let is_there = way == Way::FailedButPersisted;
        let known = test.store.coverage().await.expect("read");
        assert_eq!(&known, if is_there { &expected } else { &before }, "{run}");
        test.store.finish(&finish).await.expect("again");
        assert_eq!(
            test.store.coverage().await.expect("read"),
            expected,
            "{run}"
        );
    }
    assert!(expected.is_some_and(|known| known.spans.len() > 2));
}
