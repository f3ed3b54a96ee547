//! Beginning, reminder and end; workers side by side; restarts.

use super::{CHANNELS, HOUR, Manner, SECOND, Scene, of_7};
use crate::support::store::TestStore;

crate::on_both![
    the_beginning_a_reminder_and_the_end_are_told,
    of_several_workers_one_tells,
    what_was_found_before_a_restart_is_told_after_it,
    who_was_away_is_told_later,
    the_end_never_overtakes_the_beginning,
    what_cannot_be_sent_is_given_up_in_time,
];

async fn the_beginning_a_reminder_and_the_end_are_told(test: TestStore) {
    let scene = Scene::new(test);
    let mut notifier = scene.notifier();
    scene.verdict(7, "intact").await;
    scene.round(&mut notifier).await;
    assert_eq!(scene.oncall.take(), []);

    scene.verdict(7, "tampered").await;
    scene.round(&mut notifier).await;
    assert_eq!(scene.oncall.take(), of_7("firing"));
    assert_eq!(scene.chat.take(), of_7("firing"));
    let firing = scene.metrics.alerts_firing.with_label_values(&["critical"]);
    assert_eq!(firing.get(), 1);

    scene.pass(4 * HOUR - SECOND);
    scene.round(&mut notifier).await;
    assert_eq!(scene.oncall.take(), []);
    for _ in 0..2 {
        scene.pass(4 * HOUR);
        scene.round(&mut notifier).await;
        assert_eq!(scene.oncall.take(), of_7("reminder"));
    }

    scene.verdict(7, "intact").await;
    scene.round(&mut notifier).await;
    scene.round(&mut notifier).await;
    assert_eq!(scene.oncall.take(), of_7("resolved"));
    assert_eq!(firing.get(), 0);
    let over = "alert WHERE name = 'TrailkeeperIntegrityFailed' AND ends_at IS NOT NULL AND organization_id = 7";
    assert_eq!(scene.number(over).await, 1);

    // The same once more is told as something new.
    scene.verdict(7, "tampered").await;
    scene.round(&mut notifier).await;
    assert_eq!(scene.oncall.take(), of_7("firing"));
}

async fn of_several_workers_one_tells(test: TestStore) {
    let scene = Scene::new(test);
    let mut one = scene.notifier();
    let mut other = scene.notifier_on(scene.test.another().await);
    for (verdict, moment) in [("tampered", "firing"), ("intact", "resolved")].repeat(5) {
        scene.verdict(7, verdict).await;
        let (first, second) = tokio::join!(one.look(), other.look());
        first.expect("look");
        second.expect("look");
        let (first, second) = tokio::join!(one.send_due(), other.send_due());
        first.expect("send");
        second.expect("send");
        assert_eq!(scene.oncall.take(), of_7(moment));
        assert_eq!(scene.chat.take(), of_7(moment));
        scene.pass(SECOND);
    }
    scene.verdict(7, "tampered").await;
    scene.round(&mut one).await;
    scene.oncall.take();
    scene.pass(5 * HOUR);
    let (first, second) = tokio::join!(one.look(), other.look());
    first.expect("look");
    second.expect("look");
    let (first, second) = tokio::join!(one.send_due(), other.send_due());
    first.expect("send");
    second.expect("send");
    assert_eq!(scene.oncall.take(), of_7("reminder"));
}

async fn what_was_found_before_a_restart_is_told_after_it(test: TestStore) {
    let scene = Scene::new(test);
    // The worker ends after its verdict, and the next after it wrote what it would tell.
    scene.verdict(7, "tampered").await;
    scene.notifier().look().await.expect("look");
    assert_eq!(scene.oncall.take(), []);
    scene.pass(HOUR);
    scene.round(&mut scene.notifier()).await;
    assert_eq!(scene.oncall.take(), of_7("firing"));
    scene.round(&mut scene.notifier()).await;
    assert_eq!(scene.oncall.take(), []);
}

async fn who_was_away_is_told_later(test: TestStore) {
    let scene = Scene::new(test);
    let mut notifier = scene.notifier();
    scene.oncall.behave(Manner::IsAway);
    scene.verdict(7, "tampered").await;
    for _ in 0..5 {
        scene.round(&mut notifier).await;
        scene.pass(600 * SECOND);
    }
    assert_eq!(
        scene.chat.take(),
        of_7("firing"),
        "others hear of it at once"
    );
    assert_eq!(scene.counted("oncall", "failed"), 5);
    notifier.look().await.expect("look");
    let pending = &scene.metrics.notifications_pending;
    let age = &scene.metrics.notifications_age_seconds;
    assert_eq!(
        CHANNELS.map(|it| pending.with_label_values(&[it]).get()),
        [1, 0]
    );
    let ages = CHANNELS.map(|it| age.with_label_values(&[it]).get());
    assert!(ages[0] > 2999.0 && ages[1] < 1.0, "{ages:?}");

    scene.oncall.behave(Manner::Takes);
    scene.round(&mut notifier).await;
    assert_eq!(scene.oncall.take(), of_7("firing"));
    assert_eq!(scene.counted("oncall", "sent"), 1);
    assert_eq!(scene.number("notice WHERE sent_at IS NULL").await, 0);
}

async fn the_end_never_overtakes_the_beginning(test: TestStore) {
    let scene = Scene::new(test);
    let mut notifier = scene.notifier();
    scene.oncall.behave(Manner::IsAway);
    scene.verdict(7, "tampered").await;
    scene.round(&mut notifier).await;
    scene.verdict(7, "intact").await;
    scene.oncall.behave(Manner::Takes);
    // The first attempt at the end would be due now; the beginning waits for its next.
    scene.round(&mut notifier).await;
    assert_eq!(scene.oncall.take(), []);
    assert_eq!(scene.chat.take().len(), 2);
    scene.pass(600 * SECOND);
    scene.round(&mut notifier).await;
    let both = [of_7("firing"), of_7("resolved")].concat();
    assert_eq!(scene.oncall.take(), both);
}

async fn what_cannot_be_sent_is_given_up_in_time(test: TestStore) {
    let scene = Scene::new(test);
    let mut notifier = scene.notifier();
    scene.oncall.behave(Manner::IsAway);
    scene.chat.behave(Manner::Refuses);
    scene.verdict(7, "tampered").await;
    scene.round(&mut notifier).await;
    assert_eq!(scene.counted("chat", "given_up"), 1, "at once");
    scene.pass(72 * HOUR - SECOND);
    notifier.send_due().await.expect("send");
    assert_eq!(scene.counted("oncall", "given_up"), 0);
    scene.pass(600 * SECOND);
    notifier.send_due().await.expect("send");
    assert_eq!(scene.counted("oncall", "given_up"), 1);
    assert_eq!(scene.counted("oncall", "failed"), 2);
    let given_up = "notice WHERE failed_at IS NOT NULL AND error = 'no'";
    assert_eq!(scene.number(given_up).await, 2);

    // That it is over is told all the same.
    scene.oncall.behave(Manner::Takes);
    scene.verdict(7, "intact").await;
    scene.round(&mut notifier).await;
    assert_eq!(scene.oncall.take(), of_7("resolved"));
}
