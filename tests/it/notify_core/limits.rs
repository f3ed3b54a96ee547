//! More to tell than a channel may be sent.

use super::{HOUR, SECOND, Scene};
use crate::support::store::TestStore;

crate::on_both![what_is_too_much_becomes_one_message];

async fn what_is_too_much_becomes_one_message(test: TestStore) {
    let mut scene = Scene::new(test);
    scene.config.max_per_hour = 3;
    let mut notifier = scene.notifier();
    for organization in 1..=10 {
        scene.verdict(organization, "tampered").await;
    }
    scene.round(&mut notifier).await;
    let told = scene.oncall.take();
    assert_eq!(told.len(), 3, "{told:?}");
    let held = "notice WHERE channel = 'oncall' AND held_at IS NOT NULL AND summed_at IS NULL";
    assert_eq!(scene.number(held).await, 7);
    scene.pass(HOUR - SECOND);
    scene.round(&mut notifier).await;
    assert_eq!(scene.oncall.take(), []);

    // There is room again.
    scene.pass(2 * SECOND);
    scene.round(&mut notifier).await;
    let summary = vec![("reminder", "7 more alerts".to_owned())];
    assert_eq!(scene.oncall.take(), summary);
    assert_eq!(scene.number(held).await, 0);

    // What is over is told without a limit, also of those that were held back.
    for organization in 1..=10 {
        scene.verdict(organization, "intact").await;
    }
    scene.round(&mut notifier).await;
    let told = scene.oncall.take();
    assert_eq!(told.len(), 10, "{told:?}");
    assert!(told.iter().all(|(moment, _)| *moment == "resolved"));
}
