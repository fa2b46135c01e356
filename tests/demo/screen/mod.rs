//! What the person at the terminal sees: bars while something happens, a line when it has.

mod bar;
mod figures;
mod table;

use console::{Term, style};

pub(crate) use bar::Bar;
pub(crate) use figures::{amount, count, percent, rate, secs};
pub(crate) use table::{Cell, Table};

use crate::run::Step;

/// Characters of a line that most terminals have.
const WIDTH: usize = 78;
/// Where the counts of the steps end.
const COUNT_AT: usize = 56;

/// A terminal, or a file that was put in its place.
pub(crate) struct Screen {
    out: Term,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { out: Term::stdout() }
    }

    /// A line of text. When nobody reads any more the story goes on.
    pub(crate) fn line(&self, text: &str) {
        let _ = self.out.write_line(text);
    }

    /// A headline with a rule below.
    pub(crate) fn title(&self, text: &str) {
        self.line("");
        self.line(&format!(" {}", style(text).bold()));
        self.line(&style(format!(" {}", "─".repeat(WIDTH - 2))).dim().to_string());
    }

    /// What came of a step.
    pub(crate) fn step(&self, step: &Step) {
        let count = count(step.count);
        let line = match step.took {
            Some(took) => {
                let room = COUNT_AT.saturating_sub(console::measure_text_width(&step.what) + 3);
                let figures = format!("{count:>room$} {:>9} {:>8}", rate(step.count, took), secs(took));
                format!(" {} {}{figures}", style("✓").green(), step.what)
            }
            None => {
                let room = COUNT_AT.saturating_sub(console::measure_text_width(&step.what) + 5);
                style(format!("     {}{count:>room$}", step.what))
                    .dim()
                    .to_string()
            }
        };
        self.line(&line);
    }

    /// Something the person should know, in passing.
    pub(crate) fn note(&self, text: &str) {
        self.line(&style(format!("     {text}")).dim().to_string());
    }

    /// A table of its own.
    pub(crate) fn table(&self, table: &Table) {
        table
            .lines()
            .iter()
            .for_each(|line| self.line(&format!("   {line}")));
    }

    /// A table in passing.
    pub(crate) fn aside(&self, table: &Table) {
        table.lines().iter().for_each(|line| self.note(line));
    }

    /// Something that did not work, with what was being done.
    pub(crate) fn failure(&self, error: &anyhow::Error) {
        self.line("");
        self.line(&format!(" {} {error}", style("✗").red().bold()));
        for cause in error.chain().skip(1) {
            self.line(&format!("   because: {cause}"));
        }
    }

    /// A bar that fills while `total` things happen.
    pub(crate) fn bar(&self, title: &str, total: usize) -> Bar {
        Bar::new(title, total as u64)
    }

    /// Shows that something happens whose length nobody knows.
    pub(crate) fn spinner(&self, title: &str) -> Bar {
        Bar::spinner(title)
    }
}
