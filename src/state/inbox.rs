//! Messages that came in. The key (source, message id) makes the second delivery of one harmless.

use std::collections::HashSet;

use super::{StateError, Store, Tx, column, jobs::NewJob, outbox::Event, statement};

/// Rows of one INSERT.
const ROWS: usize = 500;
const COLUMNS: usize = 5;

/// A message and the job that it asks for.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Who sent it.
    pub source: String,
    /// The sender's name for it.
    pub message_id: String,
    /// Where the outcome is to be sent.
    pub reply_to: Option<String>,
    /// What to name in the answer.
    pub correlation_id: Option<String>,
    /// The job.
    pub job: NewJob,
}

/// How many messages led to jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TakenIn {
    /// Seen for the first time.
    pub new: u64,
    /// Seen before, and without effect.
    pub duplicates: u64,
}

impl Store {
    /// Takes messages in: inbox rows, job rows and `events`, all or none. Whoever acknowledges after this returned has
    /// lost nothing; whoever does not gets them again without harm.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn take_in(
        &self,
        arrivals: Vec<Arrival>,
        events: &[Event],
    ) -> Result<TakenIn, StateError> {
        let mut tx = self.begin().await?;
        let mut taken = TakenIn::default();
        for event in events {
            tx.publish(event).await?;
        }
        for arrivals in arrivals.chunks(ROWS) {
            taken.new += tx.take_in_chunk(arrivals).await?;
        }
        tx.commit("take_in").await?;
        taken.duplicates = arrivals.len() as u64 - taken.new;
        Ok(taken)
    }

    /// The id of the job that a message led to; none if it was never taken in, or forgotten since.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn job_of_message(
        &self,
        source: &str,
        message_id: &str,
    ) -> Result<Option<String>, StateError> {
        let select = self
            .query("SELECT job_id FROM inbox WHERE source = $1 AND message_id = $2")
            .bind(source.to_owned())
            .bind(message_id.to_owned());
        let rows = self.read(select).await?;
        rows.first().map(|row| column(row, "job_id")).transpose()
    }
}

impl Tx {
    async fn take_in_chunk(&mut self, arrivals: &[Arrival]) -> Result<u64, StateError> {
        let new_ids = self.insert_inbox(arrivals).await?;
        let new: Vec<&Arrival> = arrivals
            .iter()
            .filter(|arrival| new_ids.contains(&arrival.job.id))
            .collect();
        let jobs: Vec<NewJob> = new.iter().map(|arrival| arrival.job.clone()).collect();
        for (arrival, queued) in new.into_iter().zip(self.insert_jobs(&jobs).await?) {
            if !queued.is_new {
                // An equal job stands for this one, and answers for it.
                let update = self
                    .query("UPDATE inbox SET job_id = $1 WHERE source = $2 AND message_id = $3")
                    .bind(queued.id)
                    .bind(arrival.source.clone())
                    .bind(arrival.message_id.clone());
                self.execute(update).await?;
            }
        }
        Ok(new_ids.len() as u64)
    }

    /// Inserts inbox rows and answers the jobs of those that are new.
    async fn insert_inbox(&mut self, arrivals: &[Arrival]) -> Result<HashSet<String>, StateError> {
        let rows: Vec<String> = (0..arrivals.len())
            .map(|row| {
                let place = |nth: usize| row * COLUMNS + nth;
                format!(
                    "(${}, ${}, ${}, ${}, ${}, {{now}})",
                    place(1),
                    place(2),
                    place(3),
                    place(4),
                    place(5)
                )
            })
            .collect();
        let sql = self.store().sql(&format!(
            "INSERT INTO inbox (source, message_id, job_id, reply_to, correlation_id, received_at) VALUES {} \
             ON CONFLICT DO NOTHING RETURNING job_id",
            rows.join(", ")
        ));
        let mut insert = statement(sql).persistent(false);
        for arrival in arrivals {
            insert = insert
                .bind(arrival.source.clone())
                .bind(arrival.message_id.clone())
                .bind(arrival.job.id.clone())
                .bind(arrival.reply_to.clone())
                .bind(arrival.correlation_id.clone());
        }
        let rows = self.fetch(insert).await?;
        rows.iter().map(|row| column(row, "job_id")).collect()
    }
}
