//! A tenant with everybody who may ask for it, and what only it may know.

use std::collections::BTreeSet;
use std::sync::Mutex;

use anyhow::Context as _;
use client::{Api, Brand, Login, register, reviewer_token};
use contracts::TenantId;
use serde_json::json;
use testkit::Stack;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::keys::Keyring;
use crate::scene::{Contact, Scene};

/// Who asks. Of the staff, each may do what those before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    Anybody,
    Auditor,
    Agent,
    Operator,
    Admin,
    Owner,
    /// The owner of a brand that was rejected.
    RejectedOwner,
    Contact,
    Reviewer,
    /// Another service.
    Peer,
}

/// Everybody with a token.
pub(crate) const CALLERS: [By; 8] = [
    By::Auditor,
    By::Agent,
    By::Operator,
    By::Admin,
    By::Owner,
    By::Contact,
    By::Reviewer,
    By::Peer,
];

impl By {
    /// Whether what is for `self` is for `caller` too.
    pub(crate) fn admits(self, caller: Self) -> bool {
        let least = if self == Self::RejectedOwner {
            Self::Owner
        } else {
            self
        };
        let staff = Self::Auditor..=Self::Owner;
        least == caller || staff.contains(&least) && staff.contains(&caller) && caller > least
    }
}

/// The platform's own, who verifies tenants.
pub(crate) struct Reviewer {
    pub(crate) email: String,
    pub(crate) password: String,
    token: String,
}

/// One tenant's people and things.
pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) keyring: Keyring,
    pub(crate) reviewer: Reviewer,
    auditor: Login,
    admin: Login,
    /// Two contacts, followed by different agents.
    contacts: [Contact; 2],
    rejected: OnceCell<String>,
    /// Ids that no other tenant may ever see.
    known: Mutex<BTreeSet<Uuid>>,
}

impl World {
    pub(crate) async fn new(stack: &Stack) -> anyhow::Result<Self> {
        let scene = Scene::set(stack, 2).await?;
        let admin = scene.brand.hire("伊藤 直美", "なおみ", "admin").await?;
        let auditor = scene.brand.hire("周 宁", "宁宁", "auditor").await?;
        let tenant = &scene.brand.tenant_id;
        // The code has two members of equal weight: sooner or later each follows somebody.
        let first = scene.scan(&format!("wx-{tenant}-0")).await?;
        let mut second = None;
        for n in 1..100 {
            let contact = scene.scan(&format!("wx-{tenant}-{n}")).await?;
            if contact.member_id != first.member_id {
                second = Some(contact);
                break;
            }
        }
        let second = second.context("100 contacts were all assigned to one of two members")?;
        let reviewer = &stack.description().reviewer;
        let reviewer = Reviewer {
            email: reviewer.email.clone(),
            password: reviewer.password.clone(),
            token: reviewer_token(&scene.api, stack).await?,
        };
        let world = Self {
            keyring: Keyring::load(stack)?,
            reviewer,
            auditor,
            admin,
            contacts: [first, second],
            rejected: OnceCell::new(),
            known: Mutex::default(),
            scene,
        };
        world.learn(&json!([
            world.brand().tenant_id,
            world.scene.code,
            world.contact().id
        ]));
        Ok(world)
    }

    pub(crate) fn api(&self) -> &Api {
        &self.scene.api
    }

    pub(crate) fn brand(&self) -> &Brand {
        &self.scene.brand
    }

    pub(crate) fn tenant(&self) -> anyhow::Result<TenantId> {
        Ok(self.brand().tenant_id.parse()?)
    }

    pub(crate) fn contact(&self) -> &Contact {
        &self.contacts[0]
    }

    /// The agent who follows the contact.
    pub(crate) fn agent(&self) -> anyhow::Result<&Login> {
        self.follower(&self.contacts[0])
    }

    fn follower(&self, contact: &Contact) -> anyhow::Result<&Login> {
        self.scene.agent(&contact.member_id)
    }

    /// The token somebody shows to `service`.
    pub(crate) async fn token(&self, by: By, service: &str) -> anyhow::Result<Option<String>> {
        let token = match by {
            By::Anybody => return Ok(None),
            By::Auditor => &self.auditor.token,
            By::Agent => &self.agent()?.token,
            By::Operator => &self.scene.operator.token,
            By::Admin => &self.admin.token,
            By::Owner => &self.brand().owner.token,
            By::RejectedOwner => self.rejected.get_or_try_init(|| self.reject()).await?,
            By::Contact => &self.contact().token,
            By::Reviewer => &self.reviewer.token,
            By::Peer => return Ok(Some(self.keyring.service("groups", service, self.tenant()?))),
        };
        Ok(Some(token.clone()))
    }

    /// The same kind of person in the same tenant, to whom personal things belong as little as to a stranger.
    pub(crate) fn colleague(&self, by: By) -> anyhow::Result<Option<String>> {
        Ok(match by {
            By::Agent => Some(self.follower(&self.contacts[1])?.token.clone()),
            By::Contact => Some(self.contacts[1].token.clone()),
            _ => None,
        })
    }

    /// A brand of its own that a reviewer rejected; its owner's token.
    async fn reject(&self) -> anyhow::Result<String> {
        let brand = register(self.api(), &fresh("brand"), "却下 Cosmetics").await?;
        let path = format!("/v1/tenants/{}/review", brand.tenant_id);
        let body = json!({"decision": "rejected", "reason": "no licence"});
        self.api()
            .post("identity", &path)
            .token(&self.reviewer.token)
            .json(&body)
            .ok()
            .await?;
        Ok(brand.owner.token)
    }

    /// What of its people nobody but they and their tenant may read: by what it is.
    pub(crate) fn private(&self) -> Vec<(&'static str, String)> {
        let scene = &self.scene;
        let staff = [&self.auditor, &self.admin, &scene.operator, &scene.brand.owner];
        let mut private = vec![("a reviewer's token", self.reviewer.token.clone())];
        for login in staff.into_iter().chain(&scene.agents) {
            private.push(("a member's e-mail address", login.email.clone()));
            private.push(("a member's token", login.token.clone()));
        }
        for contact in &self.contacts {
            private.push(("a contact's id at the brand", contact.external_id.clone()));
            private.push(("a contact's token", contact.token.clone()));
        }
        private
    }

    /// Remembers every id in an answer as this tenant's own.
    pub(crate) fn learn(&self, told: &serde_json::Value) {
        self.known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .extend(ids(&told.to_string()));
    }

    /// What of this tenant's an answer to somebody else gives away.
    pub(crate) fn leaked(&self, told: &serde_json::Value) -> Vec<Uuid> {
        let known = self
            .known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        ids(&told.to_string()).filter(|id| known.contains(id)).collect()
    }
}

fn ids(text: &str) -> impl Iterator<Item = Uuid> {
    let words = text.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    words
        .filter_map(|word| Uuid::try_parse(word).ok())
        .filter(|id| !id.is_nil())
}

/// A name nobody used yet.
pub(crate) fn fresh(prefix: &str) -> String {
    let id = Uuid::new_v4().simple().to_string();
    format!("{prefix}-{}", &id[..12])
}
