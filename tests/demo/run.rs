//! One telling of the story: where it happens, how it is shown, and what came of each step.

use std::time::{Duration, Instant};

use client::Api;
use testkit::Stack;

use crate::checks::Checks;
use crate::edges::Calls;
use crate::home::Home;
use crate::screen::Screen;

/// Everything the steps share.
pub(crate) struct Run<'a> {
    pub(crate) home: &'a Home,
    pub(crate) screen: &'a Screen,
    pub(crate) stack: Stack,
    pub(crate) api: Api,
    pub(crate) checks: Checks,
    pub(crate) steps: Vec<Step>,
    /// Calls between services when the story began.
    pub(crate) calls_before: Calls,
    /// Calls between services that the story made, by edge.
    pub(crate) edges: Vec<(&'static str, String)>,
    pub(crate) began: Instant,
}

/// A line of the report.
pub(crate) struct Step {
    pub(crate) what: String,
    pub(crate) count: u64,
    /// None: a part of the line above.
    pub(crate) took: Option<Duration>,
}

impl<'a> Run<'a> {
    /// Starts everything.
    pub(crate) async fn begin(home: &'a Home, screen: &'a Screen) -> anyhow::Result<Self> {
        let began = Instant::now();
        let bar = screen.spinner("Starting Postgres, NATS, five services and two workers");
        let stack = home.up().await?;
        drop(bar);
        let api = Api::new(&stack);
        let calls_before = Calls::read(&stack, &api).await?;
        let mut run = Self {
            home,
            screen,
            stack,
            api,
            checks: Checks::default(),
            steps: Vec::new(),
            calls_before,
            edges: Vec::new(),
            began,
        };
        let processes = run.stack.description().processes.len() + ["postgres", "nats"].len();
        run.done("Processes up and ready", processes, began);
        Ok(run)
    }

    /// Notes a step that ended, and shows it.
    pub(crate) fn done(&mut self, what: &str, count: usize, began: Instant) {
        let step = Step {
            what: what.to_owned(),
            count: count as u64,
            took: Some(began.elapsed()),
        };
        self.screen.step(&step);
        self.steps.push(step);
    }

    /// Notes a part of the step before.
    pub(crate) fn part(&mut self, what: &str, count: usize) {
        let step = Step {
            what: what.to_owned(),
            count: count as u64,
            took: None,
        };
        self.screen.step(&step);
        self.steps.push(step);
    }
}
