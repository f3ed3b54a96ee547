//! Workers that are killed at any moment, and jobs that kill their worker.

use std::time::{Duration, Instant};

use serde_json::json;
use trailkeeper::state::jobs::{NewJob, State};

use super::{Scene, marking, probe};
use crate::support::{
    store::block_on,
    worker::{Worker, until},
};

/// Jobs in a round and rounds: a short form here, the figures by `scripts/chaos`.
fn extent() -> (usize, usize) {
    let number = |name: &str, usual: usize| {
        let set = std::env::var(name).ok();
        set.map_or(usual, |text| text.parse().expect("a number"))
    };
    (
        number("TRAILKEEPER_CHAOS_JOBS", 400),
        number("TRAILKEEPER_CHAOS_ROUNDS", 1),
    )
}

/// `kill -9` at random: every job ends exactly once in a final state, its effect is there once, none is lost.
async fn rounds(scene: Scene) {
    scene.make_effect_table().await;
    let (jobs, rounds) = extent();
    let mut scene = scene;
    scene.setting = scene
        .setting
        .with("jobs", "lease_seconds = 1\nretry_base_seconds = 0");
    for round in 1..=rounds {
        round_of(&scene, jobs, round).await;
    }
}

async fn round_of(scene: &Scene, jobs: usize, round: usize) {
    let queued: Vec<NewJob> = (0..jobs).map(|_| marking(fastrand::u64(0..250))).collect();
    scene.store().enqueue(&queued).await.expect("enqueue");
    let mut workers: Vec<Worker> = (0..3)
        .map(|index| Worker::spawn(&scene.setting, &format!("worker-{index}")))
        .collect();
    let deadline = Instant::now() + Duration::from_secs(300);
    let mut kills = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..400))).await;
        let open = scene
            .state
            .number("SELECT count(*) FROM job WHERE finished_at IS NULL")
            .await;
        if open == 0 {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{open} jobs are still open in round {round}"
        );
        // Towards the end nobody is killed any more, so that it comes to an end.
        if open > jobs as i64 / 10 {
            let victim = fastrand::usize(0..workers.len());
            workers[victim].kill();
            workers[victim] = Worker::spawn(&scene.setting, &format!("worker-{victim}"));
            kills += 1;
        }
    }
    assert!(kills > 2, "somebody was killed");
    assert_eq!(scene.count(State::Succeeded).await, jobs * round);
    let all = (jobs * round) as i64;
    assert_eq!(scene.effects().await, (all, all), "each effect once");
}

/// A job that crashes its process ends dead after its attempts, and takes no neighbour with it.
#[test]
fn a_job_that_crashes_its_worker_dies_alone() {
    block_on(async {
        let mut scene = Scene::on_postgres().await;
        scene.make_effect_table().await;
        scene.setting = scene.setting.with(
            "jobs",
            "lease_seconds = 1\nretry_base_seconds = 0\nconcurrency = 16",
        );
        let poison = NewJob {
            max_attempts: 3,
            ..probe(json!({"crash": true}))
        };
        // Only three attempts each: what the poison takes along more than once more would be dead.
        let neighbours: Vec<NewJob> = (0..12)
            .map(|_| NewJob {
                max_attempts: 3,
                ..marking(300)
            })
            .collect();
        scene.store().enqueue(&neighbours).await.expect("enqueue");
        scene
            .store()
            .enqueue(std::slice::from_ref(&poison))
            .await
            .expect("enqueue");
        let mut worker = Worker::spawn(&scene.setting, "worker");
        let mut crashes = 0;
        let deadline = Instant::now() + Duration::from_secs(90);
        while scene
            .state
            .number("SELECT count(*) FROM job WHERE finished_at IS NULL")
            .await
            > 0
        {
            assert!(
                Instant::now() < deadline,
                "jobs are still open:\n{}",
                worker.log()
            );
            if worker.has_ended().is_some() {
                // As systemd would.
                crashes += 1;
                worker = Worker::spawn(&scene.setting, "worker");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(crashes, 3);
        let dead = scene
            .store()
            .job(&poison.id)
            .await
            .expect("read")
            .expect("a job");
        assert_eq!((dead.state, dead.attempt), (State::Dead, 3));
        assert!(
            dead.error
                .expect("an error")
                .contains("vanished while it ran this job")
        );
        assert_eq!(scene.count(State::Succeeded).await, neighbours.len());
        for neighbour in &neighbours {
            let job = scene
                .store()
                .job(&neighbour.id)
                .await
                .expect("read")
                .expect("a job");
            assert!(
                job.attempt <= 2,
                "the poison took it along once at most: {job:?}"
            );
        }
        let count = neighbours.len() as i64;
        assert_eq!(scene.effects().await, (count, count));
    });
}

/// PostgreSQL restarts while jobs run: the worker goes on by itself.
#[test]
fn a_restart_of_the_database_loses_and_doubles_nothing() {
    block_on(async {
        let mut scene = Scene::on_postgres().await;
        scene.make_effect_table().await;
        scene.setting = scene
            .setting
            .with("jobs", "lease_seconds = 3\nretry_base_seconds = 0");
        let jobs: Vec<NewJob> = (0..400).map(|_| marking(20)).collect();
        scene.store().enqueue(&jobs).await.expect("enqueue");
        let workers = [
            Worker::start(&scene.setting, "a"),
            Worker::start(&scene.setting, "b"),
        ];
        until("some are done", || {
            workers.iter().any(|worker| {
                worker.metric("trailkeeper_job_runs_total{ending=\"succeeded\",kind=\"probe\"}")
                    > Some(20.0)
            })
        });
        scene.state.server.as_mut().expect("a server").restart();
        scene.settle().await;
        assert_eq!(scene.effects().await, (400, 400));
        assert_eq!(scene.count(State::Succeeded).await, 400);
        for mut worker in workers {
            worker.wait_ready();
        }
    });
}

#[test]
fn workers_killed_at_random_lose_and_double_nothing_on_postgres() {
    block_on(async { rounds(Scene::on_postgres().await).await });
}

#[test]
fn workers_killed_at_random_lose_and_double_nothing_on_sqlite() {
    block_on(async { rounds(Scene::on_sqlite().await).await });
}
