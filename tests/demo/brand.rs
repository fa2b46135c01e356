//! Step 1: a cosmetics brand registers, is verified by a reviewer, and hires its people.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use client::{Answer, Ask, Brand, Login};
use testkit::eventually;

use crate::run::Run;

const NAME: &str = "花咲 Hanasaki Cosmetics";
const AGENTS: usize = 3;
/// Tokens last ten minutes; a long file outlasts them.
const TOKEN_LIFE: Duration = Duration::from_secs(8 * 60);

/// The brand and those who work for it.
pub(crate) struct Shop {
    pub(crate) owner: Session,
    pub(crate) operator: Session,
    pub(crate) agents: Vec<Session>,
}

/// Somebody signed in for as long as the story takes.
pub(crate) struct Session {
    pub(crate) member_id: String,
    brand: Brand,
    email: String,
    token: RefCell<String>,
    since: Cell<Instant>,
}

impl Session {
    fn new(brand: &Brand, login: &Login) -> Self {
        Self {
            member_id: login.member_id.clone(),
            brand: brand.clone(),
            email: login.email.clone(),
            token: RefCell::new(login.token.clone()),
            since: Cell::new(Instant::now()),
        }
    }

    /// A token that is good for some minutes.
    pub(crate) async fn token(&self) -> anyhow::Result<String> {
        if self.since.get().elapsed() > TOKEN_LIFE {
            let token = self.brand.sign_in(&self.email).await?;
            self.token.replace(token);
            self.since.set(Instant::now());
        }
        Ok(self.token.borrow().clone())
    }
}

/// Opens the brand under a name nobody had before, so that the demo can be run again.
pub(crate) async fn open(run: &mut Run<'_>) -> anyhow::Result<Shop> {
    let began = Instant::now();
    let bar = run.screen.spinner("A brand registers and is verified");
    let id = uuid::Uuid::new_v4().simple().to_string();
    let brand = client::register(&run.api, &format!("hanasaki-{}", &id[..8]), NAME).await?;
    let reviewer = client::reviewer_token(&run.api, &run.stack).await?;
    brand.review(&reviewer).await?;
    drop(bar);
    run.done("Brand registered and verified", 1, began);

    let began = Instant::now();
    let bar = run.screen.spinner("It hires an operator and three agents");
    let staff = brand.staff(AGENTS).await?;
    drop(bar);
    run.done(
        "People signed in: owner, operator, agents",
        2 + staff.agents.len(),
        began,
    );
    Ok(Shop {
        owner: Session::new(&brand, &brand.owner),
        operator: Session::new(&brand, &staff.operator),
        agents: staff
            .agents
            .iter()
            .map(|agent| Session::new(&brand, agent))
            .collect(),
    })
}

/// Asks until the service has heard of the brand and its people: that news travels by events.
pub(crate) async fn once_known(ask: impl Fn() -> Ask) -> anyhow::Result<serde_json::Value> {
    let answer: Answer = eventually(async || {
        let answer = ask().answer().await?;
        anyhow::ensure!(
            !["tenant_unverified", "member_unknown"].contains(&answer.code()),
            "{}",
            answer.body
        );
        Ok(answer)
    })
    .await?;
    answer.ok()
}
