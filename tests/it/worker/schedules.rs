//! Schedules by several real processes: never twice, never lost.

use std::time::Duration;

use super::Scene;
use crate::support::{store::block_on, worker::Worker};

const EVERY_SECOND: &str = r#"
name = "every_second"
description = "for a test"
kind = "probe"
cron = "* * * * * *"
overlap = "allow"
misfire = { policy = "all", max = 1000 }
"#;

/// Three workers, one of which is killed and comes back: each second's job once.
#[test]
fn three_workers_fire_once_each_second_and_lose_none() {
    block_on(async {
        let mut scene = Scene::on_postgres().await;
        let directory = scene.setting.directory.join("schedules");
        std::fs::create_dir_all(&directory).expect("make a directory");
        std::fs::write(directory.join("every_second.toml"), EVERY_SECOND).expect("write");
        scene
            .setting
            .sections
            .retain(|(section, _)| *section != "jobs");
        let lines = format!(
            "dir = {:?}\nlease_seconds = 2",
            directory.display().to_string()
        );
        scene.setting = scene.setting.with("jobs", lines);
        let mut workers: Vec<Worker> = (0..3)
            .map(|index| Worker::start(&scene.setting, &format!("worker-{index}")))
            .collect();
        for round in 0..4 {
            tokio::time::sleep(Duration::from_millis(2500)).await;
            workers[round % 3].kill();
            tokio::time::sleep(Duration::from_millis(500)).await;
            workers[round % 3] = Worker::spawn(&scene.setting, &format!("worker-{}", round % 3));
        }
        // All of them away at once: what fell due is made up for.
        for worker in &mut workers {
            worker.kill();
        }
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let worker = Worker::start(&scene.setting, "last");
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(worker);
        let number = async |sql: &str| scene.state.number(sql).await;
        let fires = number("SELECT count(*) FROM schedule_fire").await;
        let seconds =
            number("SELECT (max(fire_time) - min(fire_time)) / 1000000 + 1 FROM schedule_fire")
                .await;
        assert!(seconds >= 15, "it ran for {seconds} seconds");
        assert_eq!(
            fires, seconds,
            "one fire a second, none twice and none lost"
        );
        let jobs =
            number("SELECT count(DISTINCT fire_time) FROM job WHERE schedule = 'every_second'")
                .await;
        assert_eq!(jobs, fires);
        assert_eq!(
            number("SELECT count(*) FROM job WHERE schedule = 'every_second'").await,
            fires
        );
    });
}
