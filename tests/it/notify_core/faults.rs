//! Each write about alerts broken in both ways. Whoever is told twice can tell by the id.

use trailkeeper::state::fault::{self, Way};

use super::{HOUR, Manner, SECOND, Scene, of_7};
use crate::{state::faults::WAYS, support::store::TestStore};

crate::on_both![
    changing_an_alert_is_broken,
    claiming_is_broken,
    noting_that_it_was_sent_is_broken,
    noting_that_it_was_not_is_broken,
    holding_back_is_broken,
];

async fn changing_an_alert_is_broken(test: TestStore) {
    let scene = Scene::new(test);
    let mut notifier = scene.notifier();
    for way in WAYS {
        for (verdict, moment) in [("tampered", "firing"), ("intact", "resolved")] {
            scene.verdict(7, verdict).await;
            fault::set("alerts change", way, 1);
            notifier.look().await.expect_err("broken");
            scene.round(&mut notifier).await;
            assert_eq!(scene.oncall.take(), of_7(moment), "{way:?}");
            assert_eq!(scene.chat.take(), of_7(moment), "{way:?}");
            scene.pass(SECOND);
        }
    }
}

async fn claiming_is_broken(test: TestStore) {
    let scene = Scene::new(test);
    let mut notifier = scene.notifier();
    for (way, (verdict, moment)) in WAYS
        .into_iter()
        .zip([("tampered", "firing"), ("intact", "resolved")])
    {
        scene.verdict(7, verdict).await;
        notifier.look().await.expect("look");
        fault::set("notices claim", way, 1);
        notifier.send_due().await.expect_err("broken");
        // Claimed by nobody who knows of it, it comes again once it is no longer hidden.
        scene.pass(121 * SECOND);
        notifier.send_due().await.expect("send");
        assert_eq!(scene.oncall.take(), of_7(moment), "{way:?}");
    }
}

async fn noting_that_it_was_sent_is_broken(test: TestStore) {
    let mut scene = Scene::new(test);
    scene.config.channels.truncate(1);
    scene.config.routes.clear();
    let mut notifier = scene.notifier();
    for (way, (verdict, moment)) in WAYS
        .into_iter()
        .zip([("tampered", "firing"), ("intact", "resolved")])
    {
        scene.verdict(7, verdict).await;
        notifier.look().await.expect("look");
        fault::set("notice sent", way, 1);
        notifier.send_due().await.expect_err("broken");
        assert_eq!(scene.oncall.take(), of_7(moment), "{way:?}");
        scene.pass(121 * SECOND);
        notifier.send_due().await.expect("send");
        let again = match way {
            Way::Failed => of_7(moment),
            Way::FailedButPersisted => Vec::new(),
        };
        assert_eq!(scene.oncall.take(), again, "{way:?}");
        assert_eq!(scene.number("notice WHERE sent_at IS NULL").await, 0);
    }
}

async fn noting_that_it_was_not_is_broken(test: TestStore) {
    let mut scene = Scene::new(test);
    scene.config.channels.truncate(1);
    scene.config.routes.clear();
    let mut notifier = scene.notifier();
    for (way, (verdict, moment)) in WAYS
        .into_iter()
        .zip([("tampered", "firing"), ("intact", "resolved")])
    {
        scene.verdict(7, verdict).await;
        notifier.look().await.expect("look");
        scene.oncall.behave(Manner::IsAway);
        fault::set("notice put off", way, 1);
        notifier.send_due().await.expect_err("broken");
        scene.oncall.behave(Manner::Takes);
        scene.pass(121 * SECOND);
        notifier.send_due().await.expect("send");
        assert_eq!(scene.oncall.take(), of_7(moment), "{way:?}");
    }
    for (organization, way) in (8..).zip(WAYS) {
        scene.verdict(organization, "tampered").await;
        notifier.look().await.expect("look");
        scene.oncall.behave(Manner::Refuses);
        fault::set("notice given up", way, 1);
        notifier.send_due().await.expect_err("broken");
        scene.pass(121 * SECOND);
        notifier.send_due().await.expect("send");
        let given_up = "notice WHERE failed_at IS NOT NULL";
        assert_eq!(scene.number(given_up).await, organization - 7, "{way:?}");
    }
}

async fn holding_back_is_broken(test: TestStore) {
    let mut scene = Scene::new(test);
    scene.config.max_per_hour = 1;
    scene.config.channels.truncate(1);
    scene.config.routes[0].channels.truncate(1);
    let mut notifier = scene.notifier();
    for (turn, way) in (0..).zip(WAYS) {
        for organization in 1..=3 {
            scene.verdict(turn * 10 + organization, "tampered").await;
        }
        notifier.look().await.expect("look");
        fault::set("notices held", way, 1);
        notifier.send_due().await.expect_err("broken");
        notifier.send_due().await.expect("send");
        let told = scene.oncall.take();
        assert_eq!(told.len(), 1, "{way:?}: {told:?}");
        scene.pass(HOUR + SECOND);
        fault::set("notices summed", way, 1);
        notifier.send_due().await.expect_err("broken");
        notifier.send_due().await.expect("send");
        let summary = vec![("reminder", "2 more alerts".to_owned())];
        assert_eq!(scene.oncall.take(), summary, "{way:?}");
        scene.pass(HOUR + SECOND);
    }
}
