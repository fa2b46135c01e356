//! A verified tenant on a database of its own, and a customers that answers as told.

use chassis::Clock;
use chassis::auth::{Agent, Role, Signer};
use clap::Parser as _;
use contracts::{BroadcastId, ContactId, MemberId, RequestKey, TenantId};
use outbox::Database;
use testkit::{Stack, TestDatabase};
use tokio_util::sync::CancellationToken;

use super::played::{Befriended, Customers, Groups};
use crate::broadcast::{AcceptBroadcast, Broadcast, Kind, Progress};
use crate::channel::{Channels, Mailing};
use crate::chunk::Hint;
use crate::click::Clicks;
use crate::error::Error;
use crate::grip::Grip;
use crate::live::Streams;
use crate::mail::Mail;
use crate::ops::{self, Answer, Claim};
use crate::share::Turns;
use crate::task::{Deselected, Task};
use crate::watch::Watches;
use crate::{Config, MIGRATOR, State, message, store};

pub(super) struct Scene {
    pub(super) state: State,
    pub(super) tenant: TenantId,
    pub(super) members: Vec<MemberId>,
    pub(super) customers: Customers,
    pub(super) groups: Groups,
    pub(super) test: TestDatabase,
    /// Fires when the process is to end.
    pub(super) stopping: CancellationToken,
    channels: Channels,
}

impl Scene {
    /// Three members; knobs as on the command line.
    pub(super) async fn new(knobs: &[&str]) -> Self {
        let test = testkit::database("broadcast", async |url| outbox::migrate(&url, &MIGRATOR).await)
            .await
            .unwrap();
        let config = Config::parse_from([&["broadcast"], knobs, &["serve"]].concat());
        let env = &Stack::shared().unwrap().process("broadcast").env.clone();
        let (customers, groups) = (Customers::default(), Groups::default());
        let stopping = CancellationToken::new();
        let state = State {
            db: Database::new(test.pool.clone()),
            clock: Clock::system(),
            signer: Signer::load(
                "broadcast",
                env["SHEQUN_SIGNING_KEY"].as_ref(),
                env["SHEQUN_PEER_KEYS"].as_ref(),
            )
            .unwrap(),
            customers: chassis::grpc::channel(&customers.clone().serve().await).unwrap(),
            groups: Some(chassis::grpc::channel(&groups.clone().serve().await).unwrap()),
            mail: Mail::open(&config.mail, true).unwrap(),
            knobs: config.knobs,
            watches: Watches::new(CancellationToken::new()),
            clicks: Clicks::default(),
            public_url: "https://m.example.com".parse().unwrap(),
            streams: Streams::new(2, stopping.clone()),
            dev: true,
        };
        let _ = testkit::http(); // installs the crypto provider that a process has
        let channels = Channels::open(&state).unwrap();
        let mut members: Vec<_> = (0..3).map(|_| MemberId::new()).collect();
        members.sort();
        let scene = Self {
            state,
            tenant: TenantId::new(),
            members,
            customers,
            groups,
            test,
            stopping,
            channels,
        };
        scene.verify(scene.tenant, "Asia/Shanghai").await;
        scene
    }

    pub(super) async fn verify(&self, tenant: TenantId, zone: &str) {
        let mut tx = self.state.db.begin(tenant).await.unwrap();
        store::tenant::verify(&mut *tx, tenant, zone, self.state.clock.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// `count` contacts, the members taking turns; each tenth has not agreed to marketing.
    pub(super) fn audience(&self, count: usize) -> Vec<ContactId> {
        let contacts: Vec<_> = (0..count).map(|_| ContactId::new()).collect();
        *self.customers.entries.lock().unwrap() = contacts
            .iter()
            .enumerate()
            .map(|(i, contact)| Befriended {
                contact: *contact,
                member: self.members[i % self.members.len()],
                marketing: i % 10 != 9,
            })
            .collect();
        contacts
    }

    pub(super) fn agent(&self, member: MemberId, role: Role) -> Agent {
        Agent {
            tenant: self.tenant,
            member,
            role,
        }
    }

    pub(super) fn operator(&self) -> Agent {
        self.agent(self.members[0], Role::Operator)
    }

    pub(super) async fn accept(&self, command: serde_json::Value) -> Result<Broadcast, Error> {
        let command: AcceptBroadcast = serde_json::from_value(command).unwrap();
        let key = RequestKey {
            key: uuid::Uuid::now_v7().to_string(),
            fingerprint: [0; 32],
        };
        ops::accept(&self.state, self.operator(), &key, &command).await
    }

    /// A mass message over the inbox, resolved.
    pub(super) async fn start(&self, kind: Kind) -> BroadcastId {
        let command = command(kind, "inbox");
        let broadcast = self.accept(command).await.unwrap().broadcast_id;
        self.resolve().await;
        broadcast
    }

    pub(super) async fn resolve(&self) {
        while ops::resolve(&self.state).await.unwrap() {}
    }

    pub(super) async fn tasks(&self, broadcast: BroadcastId) -> Vec<Task> {
        self.progress(broadcast).await.tasks
    }

    pub(super) async fn confirm(&self, task: &Task, deselect: &[ContactId]) -> Result<Task, Error> {
        let agent = self.agent(task.member_id, Role::Agent);
        let deselected = Deselected::try_from(deselect.to_vec()).unwrap();
        ops::confirm(&self.state, agent, task.task_id, &deselected).await
    }

    pub(super) async fn confirm_all(&self, broadcast: BroadcastId) {
        for task in self.tasks(broadcast).await {
            self.confirm(&task, &[]).await.unwrap();
        }
    }

    /// What the dispatcher would publish.
    pub(super) async fn hints(&self) -> Vec<Hint> {
        // As if every place of the window were a worker's.
        let lanes = self.state.knobs.window_chunks.into();
        ops::dispatch::queue_up(&self.state, &mut Turns::default(), lanes)
            .await
            .unwrap()
    }

    pub(super) async fn send(&self, hint: Hint) -> Result<Answer, Error> {
        ops::send(&self.state, &self.channels, hint, &CancellationToken::new()).await
    }

    /// What a worker does with a chunk it has claimed.
    pub(super) async fn work_off(&self, claim: &Claim, grip: &Grip) {
        ops::send::work_off(&self.state, &self.channels, claim, grip)
            .await
            .unwrap();
    }

    /// What the inbox channel does, for a worker that dies before it settles.
    pub(super) async fn hand_over(&self, mailing: &Mailing, contacts: &[ContactId]) {
        let messages: Vec<_> = contacts
            .iter()
            .map(|&contact| (message::mass(mailing.broadcast, contact), contact))
            .collect();
        let mut tx = self.state.db.begin(self.tenant).await.unwrap();
        let kind = mailing.kind.into();
        store::inbox::store_mass(
            &mut *tx,
            self.tenant,
            mailing.broadcast,
            kind,
            mailing.member,
            &messages,
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }

    /// Dispatches and sends until nothing is ready.
    pub(super) async fn send_all(&self) {
        loop {
            let hints = self.hints().await;
            if hints.is_empty() {
                return;
            }
            for hint in hints {
                assert_eq!(self.send(hint).await.unwrap(), Answer::Forget);
            }
        }
    }

    /// What the workers have before them.
    pub(super) async fn remaining(&self) -> i64 {
        let mut tx = self.state.db.begin_everyone().await.unwrap();
        store::dispatch::remaining(&mut *tx).await.unwrap()
    }

    /// Lets everything come to its end.
    pub(super) async fn end(&self) {
        while ops::expire(&self.state).await.unwrap()
            || ops::close(&self.state).await.unwrap()
            || ops::finish(&self.state).await.unwrap()
        {}
    }

    pub(super) async fn progress(&self, broadcast: BroadcastId) -> Progress {
        ops::look_up(&self.state, self.tenant, broadcast).await.unwrap()
    }

    /// From accepted to finished.
    pub(super) async fn run(&self, kind: Kind) -> Progress {
        let broadcast = self.start(kind).await;
        self.confirm_all(broadcast).await;
        self.send_all().await;
        self.end().await;
        self.progress(broadcast).await
    }

    /// A number that a statement over all tenants returns.
    pub(super) async fn count(&self, statement: &'static str) -> i64 {
        sqlx::query_scalar(statement)
            .fetch_one(&self.test.superuser)
            .await
            .unwrap()
    }

    /// Changes rows as no operation would.
    pub(super) async fn force(&self, statement: &'static str) {
        sqlx::query(statement)
            .execute(&self.test.superuser)
            .await
            .unwrap();
    }

    /// Exactly one receipt per recipient, counted in its chunk, and a cap for exactly those who were handed over.
    pub(super) async fn check_books(&self) {
        let unequal = "select count(*) from chunk where ended <> (select count(*) from receipt r
            where r.broadcast_id = chunk.broadcast_id and r.n = chunk.n)";
        assert_eq!(self.count(unequal).await, 0, "counters are not the receipts");
        let uncapped = "select count(*) from receipt r where state = 'delivered'
            and not exists (select from cap c where c.broadcast_id = r.broadcast_id and c.contact_id = r.contact_id)
            and not exists (select from cap_tally t
              where r.broadcast_id = any(t.broadcast_ids) and t.contact_id = r.contact_id)";
        assert_eq!(self.count(uncapped).await, 0, "delivered without a cap");
        let idle = "select count(*) from (
              select contact_id, broadcast_id from cap
              union all select contact_id, unnest(broadcast_ids) from cap_tally) as c
            where not exists (select from receipt r
              where r.broadcast_id = c.broadcast_id and r.contact_id = c.contact_id and state in ('delivered', 'dead'))";
        assert_eq!(self.count(idle).await, 0, "caps held for nothing");
    }
}

pub(super) fn command(kind: Kind, channel: &str) -> serde_json::Value {
    serde_json::json!({
        "kind": kind, "title": "Spring", "text": "The serum is in.", "audience": {"tags_any": ["vip"]},
        "channel": channel
    })
}
