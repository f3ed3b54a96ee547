//! A job that counts, fails, hangs and crashes on demand: for tests and benchmarks, behind the feature `probe`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    runtime::job::{Context, Done, Job, JobError, Outcome, Uniqueness, Wait},
    state::{StateError, Tx, jobs::Effects, outbox::Event},
};

/// What to do. Without anything it does nothing and succeeds.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Probe {
    /// Any text that tells jobs apart.
    pub name: String,
    /// Adds a row to the table `probe_effect`, together with the job's end.
    pub effect: bool,
    /// Sleeps so long, in milliseconds, unless cancelled.
    pub sleep_ms: u64,
    /// Fails until this attempt.
    pub fail_until_attempt: i64,
    /// Fails for good.
    pub fail: bool,
    /// Panics.
    pub panic: bool,
    /// Aborts the whole process.
    pub crash: bool,
    /// Ignores the wish to stop.
    pub stubborn: bool,
    /// Keeps all threads of the CPU pool busy so long, in milliseconds.
    pub burn_ms: u64,
    /// Asks for so many children of the same kind and waits for them.
    pub children: u32,
    /// What its children do.
    pub child: Option<Box<Self>>,
}

impl<S: Send + Sync + 'static> Job<S> for Probe {
    const KIND: &'static str = "probe";
    const TIMEOUT: Duration = Duration::from_secs(60);
    const UNIQUENESS: Uniqueness = Uniqueness::None;

    async fn run(&self, context: &Context<S>) -> Result<Outcome, JobError> {
        if self.crash {
            std::process::abort();
        }
        if self.children > 0 && context.memo.is_none() {
            let child = self.child.as_deref().cloned().unwrap_or_default();
            let payload = serde_json::to_value(child).map_err(JobError::fail)?;
            let children = (0..self.children)
                .map(|_| (context.maker)(Self::NAME, payload.clone()))
                .collect::<Result<_, _>>()?;
            return Ok(Outcome::Wait(Wait {
                children,
                memo: b"waited".to_vec(),
                total: Some(self.children.into()),
            }));
        }
        if self.burn_ms > 0 {
            let time = Duration::from_millis(self.burn_ms);
            tokio::task::spawn_blocking(move || burn(time))
                .await
                .map_err(JobError::retry)?;
        }
        let sleep = tokio::time::sleep(Duration::from_millis(self.sleep_ms));
        if self.stubborn {
            sleep.await;
        } else if context.cancel.run_until_cancelled(sleep).await.is_none() {
            return Err(JobError::retry(anyhow::anyhow!("stopped")));
        }
        assert!(!self.panic, "asked to panic");
        if self.fail {
            return Err(JobError::fail(anyhow::anyhow!("asked to fail for good")));
        }
        if context.attempt < self.fail_until_attempt {
            return Err(JobError::retry(anyhow::anyhow!("asked to fail")));
        }
        let effects: Option<Arc<dyn Effects>> = self.effect.then(|| {
            let effect = Effect {
                job_id: context.job_id.clone(),
            };
            Arc::new(effect) as Arc<dyn Effects>
        });
        Ok(Outcome::Done(Done {
            result: json!({"name": self.name, "worker": context.worker, "attempt": context.attempt}),
            done: Some(1),
            effects,
            ..Done::default()
        }))
    }
}

impl Probe {
    const NAME: &'static str = "probe";
}

/// Keeps every core busy, as verification does.
fn burn(time: Duration) {
    let began = std::time::Instant::now();
    rayon::broadcast(|_| {
        let mut digest = [0_u8; 32];
        while began.elapsed() < time {
            use sha2::Digest;
            for _ in 0..1000 {
                digest = sha2::Sha256::digest(digest).into();
            }
        }
        digest
    });
}

struct Effect {
    job_id: String,
}

impl Effects for Effect {
    fn apply<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Vec<Event>, StateError>> {
        Box::pin(async move {
            let insert = tx
                .query("INSERT INTO probe_effect (job_id) VALUES ($1)")
                .bind(self.job_id.clone());
            tx.execute(insert).await?;
            Ok(Vec::new())
        })
    }
}
