//! S8: a refresh token is good once. Shown again it ends the session it belongs to, for the member and for the thief,
//! and no other one.

use anyhow::ensure;
use client::{Answer, Api, Brand, PASSWORD, text};
use futures::future::try_join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::Stack;

use super::replica::Replica;

const RACERS: usize = 100;

/// What a login or refresh gave.
struct Session {
    access_token: String,
    refresh_token: String,
}

impl Session {
    fn read(answer: &Value) -> anyhow::Result<Self> {
        Ok(Self {
            access_token: text(answer, "access_token")?,
            refresh_token: text(answer, "refresh_token")?,
        })
    }

    async fn begin(brand: &Brand) -> anyhow::Result<Self> {
        let body = json!({"tenant": brand.slug, "email": brand.owner.email, "password": PASSWORD});
        Self::read(&brand.api.post("identity", "/v1/login").json(&body).ok().await?)
    }

    async fn refresh(&self, api: &Api) -> anyhow::Result<Answer> {
        let body = json!({"refresh_token": self.refresh_token});
        api.post("identity", "/v1/token/refresh")
            .key("")
            .json(&body)
            .answer()
            .await
    }

    async fn renewed(&self, api: &Api) -> anyhow::Result<Self> {
        Self::read(&self.refresh(api).await?.ok()?)
    }

    async fn is_refused(&self, api: &Api) -> anyhow::Result<()> {
        refused(&self.refresh(api).await?)
    }

    /// Whether its access token is believed.
    async fn is_believed(&self, api: &Api) -> anyhow::Result<()> {
        let answer = api
            .get("identity", "/v1/tenant")
            .token(&self.access_token)
            .send()
            .await?;
        ensure!(answer.status.is_success(), "{answer:?}");
        Ok(())
    }
}

fn refused(answer: &Answer) -> anyhow::Result<()> {
    ensure!(
        answer.status == StatusCode::UNAUTHORIZED && answer.code() == "refresh_token_invalid",
        "{answer:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_refresh_token_shown_twice_ends_its_session_and_no_other() -> anyhow::Result<()> {
    let stack = tokio::task::spawn_blocking(Stack::shared).await??;
    let (brand, other_brand) = tokio::try_join!(Brand::verified(&stack), Brand::verified(&stack))?;
    let api = &brand.api;
    let (stolen, other, foreign) = tokio::try_join!(
        Session::begin(&brand),
        Session::begin(&brand),
        Session::begin(&other_brand)
    )?;
    // The thief is first, the member goes on with what they have.
    let thief = stolen.renewed(api).await?;
    let thief = thief.renewed(api).await?;
    stolen.is_refused(api).await?;
    // Whoever has the newest one is out, too, and stays out.
    for token in [&thief, &stolen, &thief] {
        token.is_refused(api).await?;
    }
    // As documented: access tokens end by themselves.
    thief.is_believed(api).await?;
    other.renewed(api).await?;
    foreign.renewed(api).await?;
    Session::begin(&brand).await?.renewed(api).await?;
    Ok(())
}

#[tokio::test]
async fn of_a_hundred_who_show_one_refresh_token_at_once_one_wins_and_the_session_is_over()
-> anyhow::Result<()> {
    let stack = tokio::task::spawn_blocking(Stack::shared).await??;
    let brand = Brand::verified(&stack).await?;
    // Two processes, so that nothing in the memory of one decides the race.
    let second = Replica::start(&stack, "identity", &[]).await?;
    let mut description = stack.description().clone();
    if let Some(identity) = description.processes.get_mut("identity") {
        let port = second
            .url("http")
            .rsplit(':')
            .next()
            .unwrap_or_default()
            .parse()?;
        identity.ports.insert("http".to_owned(), port);
    }
    let apis = [brand.api.clone(), Api::of(&description)];
    let (contested, other) = tokio::try_join!(Session::begin(&brand), Session::begin(&brand))?;
    let races = (0..RACERS).map(|n| contested.refresh(&apis[n % apis.len()]));
    let answers = try_join_all(races).await?;
    let (won, lost): (Vec<Answer>, Vec<Answer>) =
        answers.into_iter().partition(|answer| answer.status.is_success());
    ensure!(won.len() <= 1, "{} of {RACERS} won", won.len());
    // One who was told to come back later, again and again, has lost as well.
    for answer in lost
        .iter()
        .filter(|answer| answer.status != StatusCode::SERVICE_UNAVAILABLE)
    {
        refused(answer)?;
    }
    for api in &apis {
        contested.is_refused(api).await?;
        for answer in &won {
            Session::read(&answer.body)?.is_refused(api).await?;
        }
    }
    other.renewed(&apis[1]).await?.renewed(&apis[0]).await?;
    second.end().await
}
