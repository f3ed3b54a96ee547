//! The progress bar, and Ctrl-C.

use std::io::IsTerminal;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use super::Exit;
use crate::progress::Progress;

/// What is over sooner needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);
const REFRESH: Duration = Duration::from_millis(200);
/// Steps of the bar; what it shows is a part of the key range.
const STEPS: u64 = 10_000;

/// Ends the bar when dropped.
pub(super) struct Watch {
    done: Option<mpsc::Sender<()>>,
    bar: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(bar) = self.bar.take() {
            let _ = bar.join();
        }
    }
}

/// Shows `progress` on standard error, if that is a terminal and it takes long, and stops it on Ctrl-C or SIGTERM.
pub(super) fn watch(progress: &Arc<Progress>, visible: bool) -> Watch {
    stop_on_signal(Arc::clone(progress));
    let (done, is_done) = mpsc::channel();
    let bar = (visible && std::io::stderr().is_terminal()).then(|| {
        let progress = Arc::clone(progress);
        thread::spawn(move || draw(&progress, &is_done))
    });
    Watch {
        done: Some(done),
        bar,
    }
}

fn draw(progress: &Progress, is_done: &mpsc::Receiver<()>) {
    let is_over = |wait| is_done.recv_timeout(wait) != Err(mpsc::RecvTimeoutError::Timeout);
    if is_over(PATIENCE) {
        return;
    }
    let bar = ProgressBar::hidden();
    bar.set_length(STEPS);
    // Where nobody knows how much there is, rows are counted.
    let is_measured = progress.fraction() > 0.0;
    let template = match is_measured {
        true => "{wide_bar} {percent:>3} %  {msg}",
        false => "{spinner} {msg}",
    };
    // The templates are constants; a wrong one shows in the first test run.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let mut seconds = PATIENCE.as_secs_f64();
    loop {
        let (rows, fraction) = (progress.rows(), progress.fraction());
        let rate = (rows as f64 / seconds) as u64;
        let left = seconds * (1.0 - fraction) / fraction.max(1e-6);
        bar.set_position((fraction * STEPS as f64) as u64);
        let left = match is_measured {
            true => format!(", {left:.0} s left"),
            false => String::new(),
        };
        let (rows, rate) = (HumanCount(rows), HumanCount(rate));
        bar.set_message(format!("{rows} rows, {rate}/s{left}"));
        bar.tick();
        // Shown only now, with something to tell.
        if bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        if is_over(REFRESH) {
            break;
        }
        seconds += REFRESH.as_secs_f64();
    }
    bar.finish_and_clear();
}

/// The first signal asks for an orderly end, the second one does not wait for it.
fn stop_on_signal(progress: Arc<Progress>) {
    let listen = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
        else {
            return;
        };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) else {
                return;
            };
            for is_second in [false, true] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if is_second {
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "asked twice: now, without tidying up"
                    )]
                    std::process::exit(Exit::Interrupted as i32);
                }
                progress.stop();
            }
        });
    };
    // Without the thread the default action of the signals stays: they end the process.
    let _ = thread::Builder::new()
        .name("signals".to_owned())
        .spawn(listen);
}
