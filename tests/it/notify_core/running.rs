//! The notifier as it runs beside a worker.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Manner, Scene, of_7};
use crate::support::store::TestStore;

crate::on_both![a_verdict_is_told_within_seconds_however_slow_others_are];

async fn a_verdict_is_told_within_seconds_however_slow_others_are(test: TestStore) {
    let scene = Scene::new(test);
    scene.chat.behave(Manner::Hangs);
    let stop = CancellationToken::new();
    let drain = Duration::from_secs(1);
    let running = tokio::spawn(scene.notifier().run(stop.clone(), drain));
    scene.verdict(7, "tampered").await;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let told = scene.oncall.take();
        if !told.is_empty() {
            assert_eq!(told, of_7("firing"));
            break;
        }
        assert!(Instant::now() < deadline, "nobody was told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    while scene.chat.tried.load(SeqCst) == 0 {
        assert!(Instant::now() < deadline, "nobody else was tried");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // A shutdown waits for what is under way, and not for ever. It is sent again by whoever comes next.
    stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), running).await;
    ended.expect("it ends").expect("no panic");
    scene.chat.behave(Manner::Takes);
    scene.notifier().send_due().await.expect("send");
    assert_eq!(scene.chat.take(), [], "it is hidden");
    scene.pass(121_000_000);
    scene.notifier().send_due().await.expect("send");
    assert_eq!(scene.chat.take(), of_7("firing"));
}
