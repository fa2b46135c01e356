//! S17: a refused login does not tell what is wrong with it, neither in words nor in time; guessing is slowed down, and
//! nobody is locked out for good by somebody else's guesses.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use client::{Answer, Brand, PASSWORD, text};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{Stack, http};

use super::clock::TestClock;
use super::replica::Replica;
use super::world::fresh;

const LOGIN: &str = "/v1/login";
const REVIEWERS_LOGIN: &str = "/v1/reviewers/login";
const REFRESH: &str = "/v1/token/refresh";
/// Each a hash of about 20 ms, in turns, so that what slows the machine down slows all kinds down.
const SAMPLES: usize = 20;
const DIFFERENCE_MAX: Duration = Duration::from_millis(5);
/// A busy machine may spoil a comparison; a shortcut spoils every one: a hash takes longer than the difference.
const COMPARISONS_MAX: usize = 6;
const HASHES: &str = "identity_password_checks_total";
const FAILURES_MAX: usize = 4;
const WINDOW_SECS: i64 = 900;

/// A process of identity, and a brand that logs in there.
struct Door {
    identity: Replica,
    brand: Brand,
}

/// A login that is refused: what is wrong with it, where it is sent and what it says.
type Refused = (&'static str, &'static str, Value);

impl Door {
    async fn open(stack: &Stack, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        Ok(Self {
            identity: Replica::start(stack, "identity", env).await?,
            brand: Brand::verified(stack).await?,
        })
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.post_from(None, path, body).await
    }

    /// As a proxy in front would hand it on for a client at this address.
    async fn post_from(&self, client: Option<&str>, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.identity.url("http"));
        let mut request = http().post(url).json(body);
        if let Some(client) = client {
            // What the client itself says stands before, and must not count.
            let forwarded = format!("10.0.0.1, {client}");
            request = request.header("x-forwarded-for", forwarded);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer {
            what: format!("POST {path} {body}"),
            status,
            headers,
            body: response.json().await?,
        })
    }

    fn of(&self, email: &str, password: &str) -> Value {
        json!({"tenant": self.brand.slug, "email": email, "password": password})
    }

    fn owner(&self, password: &str) -> Value {
        self.of(&self.brand.owner.email, password)
    }
}

#[tokio::test]
async fn a_refused_login_tells_nothing_in_words_or_time() -> anyhow::Result<()> {
    let stack = tokio::task::spawn_blocking(Stack::shared).await??;
    let no_limits = [
        ("SHEQUN_LOGIN_FAILURES_PER_ACCOUNT_MAX", "65535"),
        ("SHEQUN_LOGIN_FAILURES_MAX", "65535"),
    ];
    let door = Door::open(&stack, &no_limits).await?;
    let gone = door.brand.hire("林 小雨", "小雨", "agent").await?;
    let path = format!("/v1/members/{}/leave", gone.member_id);
    let leave = door
        .brand
        .api
        .post("identity", &path)
        .token(&door.brand.owner.token);
    leave.key("").ok().await?;
    let reviewer = &stack.description().reviewer.email;
    let nobody = format!("{}@nowhere.example", fresh("nobody"));
    let wrong = fresh("wrong password");
    let members = [
        ("a wrong password", LOGIN, door.owner(&wrong)),
        ("an unknown address", LOGIN, door.of(&nobody, PASSWORD)),
        (
            "an unknown tenant",
            LOGIN,
            json!({"tenant": fresh("nowhere"), "email": nobody, "password": PASSWORD}),
        ),
        ("a member who left", LOGIN, door.of(&gone.email, PASSWORD)),
        (
            "another tenant's member",
            LOGIN,
            door.of(&format!("owner@{}.example", fresh("brand")), PASSWORD),
        ),
    ];
    let reviewers = [
        (
            "a reviewer's wrong password",
            REVIEWERS_LOGIN,
            json!({"email": reviewer, "password": wrong}),
        ),
        (
            "an unknown reviewer",
            REVIEWERS_LOGIN,
            json!({"email": nobody, "password": wrong}),
        ),
    ];
    for kinds in [&members[..], &reviewers[..]] {
        door.costs_one_hash_each(kinds).await?;
        door.takes_the_same_time(kinds).await?;
    }
    door.identity.end().await
}

impl Door {
    /// The half that no busy machine can spoil: each checks a password exactly once, and answers the same.
    async fn costs_one_hash_each(&self, kinds: &[Refused]) -> anyhow::Result<()> {
        let mut told: Option<Value> = None;
        for (what, path, body) in kinds {
            let before = self.identity.figure(HASHES, "").await?;
            let mut answer = self.post(path, body).await?;
            let hashes = self.identity.figure(HASHES, "").await? - before;
            ensure!(hashes == 1, "{what}: {hashes} passwords were checked");
            let refused = answer.status == StatusCode::UNAUTHORIZED && answer.code() == "credentials_wrong";
            ensure!(refused, "{what}: {answer:?}");
            answer
                .body
                .as_object_mut()
                .context("a problem")?
                .remove("request_id");
            let first = told.get_or_insert_with(|| answer.body.clone());
            ensure!(
                *first == answer.body,
                "{what} is told by {answer:?}, another by {first}"
            );
        }
        Ok(())
    }

    #[expect(clippy::print_stdout, reason = "the figures belong to the test's output")]
    async fn takes_the_same_time(&self, kinds: &[Refused]) -> anyhow::Result<()> {
        let mut told = String::new();
        for _ in 0..COMPARISONS_MAX {
            let times = self.times(kinds).await?;
            let medians: Vec<Duration> = times.iter().map(|times| median(times)).collect();
            let (slowest, fastest) = (medians.iter().max(), medians.iter().min());
            let difference = *slowest.context("kinds")? - *fastest.context("kinds")?;
            let noise = times.iter().map(|times| noise(times)).max().context("kinds")?;
            let names = kinds.iter().map(|(what, ..)| *what);
            let lines: Vec<String> = names
                .zip(&medians)
                .map(|(what, time)| format!("{what} {time:.1?}"))
                .collect();
            told = format!("{} ({difference:.1?} apart, noise {noise:.1?})", lines.join(", "));
            println!("{told}");
            // On a busy machine even two halves of one kind are further apart.
            if difference < DIFFERENCE_MAX.max(noise) {
                return Ok(());
            }
        }
        anyhow::bail!("{COMPARISONS_MAX} times the medians were too far apart: {told}")
    }

    /// How long each kind takes, many times, in turns.
    async fn times(&self, kinds: &[Refused]) -> anyhow::Result<Vec<Vec<Duration>>> {
        let mut times = vec![Vec::with_capacity(SAMPLES); kinds.len()];
        for round in 0..SAMPLES {
            for place in 0..kinds.len() {
                // Not always the same one after the same one.
                let kind = (place + round) % kinds.len();
                let (what, path, body) = &kinds[kind];
                let began = Instant::now();
                let answer = self.post(path, body).await?;
                times[kind].push(began.elapsed());
                ensure!(answer.status == StatusCode::UNAUTHORIZED, "{what}: {answer:?}");
            }
        }
        Ok(times)
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

/// How far the medians of two halves of the same kind are apart.
fn noise(times: &[Duration]) -> Duration {
    let half = |from: usize| median(&times.iter().copied().skip(from).step_by(2).collect::<Vec<_>>());
    half(0).abs_diff(half(1))
}

#[tokio::test]
async fn guessing_is_throttled_and_locks_nobody_out_for_good() -> anyhow::Result<()> {
    let stack = tokio::task::spawn_blocking(Stack::shared).await??;
    let mut clock = TestClock::new()?;
    let (name, file) = clock.env();
    let limit = FAILURES_MAX.to_string();
    let env = [
        (name, file.as_str()),
        ("SHEQUN_LOGIN_FAILURES_PER_ACCOUNT_MAX", limit.as_str()),
    ];
    let door = Door::open(&stack, &env).await?;
    let colleague = door.brand.hire("周 宁", "宁宁", "agent").await?;
    let session = door.post(LOGIN, &door.owner(PASSWORD)).await?.ok()?;
    let nobody = format!("{}@nowhere.example", fresh("nobody"));
    let hashes = door.identity.figure(HASHES, "").await?;

    // Who exists and who does not wait alike.
    let known = door.guesses(&door.owner("not this one either")).await?;
    let unknown = door.guesses(&door.of(&nobody, "not this one either")).await?;
    ensure!(
        (known - unknown).abs() <= 2,
        "{known} s for somebody, {unknown} s for nobody"
    );
    // The right password must not tell itself from the wrong ones meanwhile, and nothing more is hashed.
    let right = door.post(LOGIN, &door.owner(PASSWORD)).await?;
    ensure!(right.code() == "login_throttled", "{right:?}");
    let checked = door.identity.figure(HASHES, "").await? - hashes;
    ensure!(
        checked == 2 * FAILURES_MAX as u64,
        "{checked} passwords were checked"
    );

    // Nobody else is concerned, and whoever is logged in stays so.
    door.post(LOGIN, &door.of(&colleague.email, PASSWORD))
        .await?
        .ok()?;
    let refresh = json!({"refresh_token": text(&session, "refresh_token")?});
    door.post(REFRESH, &refresh).await?.ok()?;

    // Guesses that were refused don't put the end off.
    clock.forward(WINDOW_SECS / 2)?;
    for _ in 0..2 * FAILURES_MAX {
        let refused = door.post(LOGIN, &door.owner("nor this one")).await?;
        ensure!(refused.code() == "login_throttled", "{refused:?}");
    }
    clock.forward(known - WINDOW_SECS / 2)?;
    door.post(LOGIN, &door.owner(PASSWORD)).await?.ok()?;
    door.identity.end().await
}

#[tokio::test]
async fn one_clients_guesses_keep_nobody_else_out() -> anyhow::Result<()> {
    let stack = tokio::task::spawn_blocking(Stack::shared).await??;
    let (per_account, per_address) = (FAILURES_MAX.to_string(), (3 * FAILURES_MAX).to_string());
    let env = [
        ("SHEQUN_PROXIES", "1"),
        ("SHEQUN_LOGIN_FAILURES_PER_ACCOUNT_MAX", per_account.as_str()),
        ("SHEQUN_LOGIN_FAILURES_PER_ADDRESS_MAX", per_address.as_str()),
    ];
    let door = Door::open(&stack, &env).await?;
    let (attacker, owner) = (Some("203.0.113.66"), Some("198.51.100.7"));
    let refused = async |client: Option<&str>, body: &Value| -> anyhow::Result<String> {
        let answer = door.post_from(client, LOGIN, body).await?;
        Ok(answer.code().to_owned())
    };
    // At one account, then at as many as the client may try.
    for _ in 0..FAILURES_MAX {
        ensure!(refused(attacker, &door.owner("not this one")).await? == "credentials_wrong");
    }
    ensure!(refused(attacker, &door.owner("not this one")).await? == "login_throttled");
    door.post_from(owner, LOGIN, &door.owner(PASSWORD)).await?.ok()?;
    for _ in 0..2 * FAILURES_MAX {
        let nobody = door.of(&format!("{}@nowhere.example", fresh("nobody")), PASSWORD);
        ensure!(refused(attacker, &nobody).await? == "credentials_wrong");
    }
    let anybody = door.of(&format!("{}@nowhere.example", fresh("nobody")), PASSWORD);
    ensure!(refused(attacker, &anybody).await? == "login_throttled");

    // Many clients at one account keep strangers out, and not where its owner has logged in from.
    let mut clients = 0;
    let throttled = loop {
        let client = format!("192.0.2.{clients}");
        let code = refused(Some(&client), &door.owner("nor this one")).await?;
        if code != "credentials_wrong" {
            break code;
        }
        clients += 1;
        ensure!(clients < 100, "a crowd is let in for ever");
    };
    ensure!(
        throttled == "login_throttled" && clients >= FAILURES_MAX,
        "{throttled} after {clients}"
    );
    door.post_from(owner, LOGIN, &door.owner(PASSWORD)).await?.ok()?;
    door.identity.end().await
}

impl Door {
    /// Guesses until it is throttled; how long it is told to wait.
    async fn guesses(&self, body: &Value) -> anyhow::Result<i64> {
        for _ in 0..FAILURES_MAX {
            let answer = self.post(LOGIN, body).await?;
            ensure!(answer.code() == "credentials_wrong", "{answer:?}");
        }
        let answer = self.post(LOGIN, body).await?;
        let is_throttled =
            answer.status == StatusCode::TOO_MANY_REQUESTS && answer.code() == "login_throttled";
        ensure!(is_throttled, "{answer:?}");
        let wait: i64 = answer
            .headers
            .get("retry-after")
            .context("Retry-After")?
            .to_str()?
            .parse()?;
        ensure!((1..=WINDOW_SECS + 1).contains(&wait), "{wait}");
        Ok(wait)
    }
}
