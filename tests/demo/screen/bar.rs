//! A progress bar on a terminal; a few plain lines in a file, so that the logs of CI stay readable.

use std::cell::Cell;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};

use super::figures::count;

const REDRAW: Duration = Duration::from_millis(100);
/// A plain line at most this often.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// And only when another tenth is done.
const LINES: u64 = 10;

/// Something under way; gone from the screen when dropped.
pub(crate) struct Bar {
    title: String,
    total: u64,
    done: Cell<u64>,
    live: Option<ProgressBar>,
    told: Cell<(Instant, u64)>,
}

impl Bar {
    pub(super) fn new(title: &str, total: u64) -> Self {
        Self::styled(
            title,
            total,
            " {spinner:.cyan} {prefix:26} {bar:24.cyan/dim} {human_pos}/{human_len} {wide_msg}",
        )
    }

    pub(super) fn spinner(title: &str) -> Self {
        Self::styled(title, 0, " {spinner:.cyan} {prefix} {elapsed:.dim}")
    }

    fn styled(title: &str, total: u64, template: &str) -> Self {
        let live = Term::stderr().is_term().then(|| {
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(total)
                .with_style(style.progress_chars("━╸─"))
                .with_prefix(title.to_owned());
            bar.enable_steady_tick(REDRAW);
            bar
        });
        Self {
            title: title.to_owned(),
            total,
            done: Cell::new(0),
            live,
            told: Cell::new((Instant::now(), 0)),
        }
    }

    /// One more is done.
    pub(crate) fn tick(&self) {
        self.set(self.done.get() + 1, "");
    }

    /// So many are done; `note` says more about them.
    pub(crate) fn set(&self, done: u64, note: &str) {
        self.done.set(done);
        if let Some(bar) = &self.live {
            bar.set_position(done);
            bar.set_message(note.to_owned());
            return;
        }
        let tenth = done * LINES / self.total.max(1);
        let (at, told) = self.told.get();
        if tenth > told && done < self.total && at.elapsed() >= LINE_EVERY {
            self.told.set((Instant::now(), tenth));
            // As in `Screen::line`: a reader who left does not stop the story.
            let line = format!("   {}: {}/{} {note}", self.title, count(done), count(self.total));
            let _ = Term::stdout().write_line(line.trim_end());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.live {
            bar.finish_and_clear();
        }
    }
}
