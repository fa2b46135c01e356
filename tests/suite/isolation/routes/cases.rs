//! Everything that is tried at one operation.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::document::{Operation, Slot, ids, objects};
use super::probe::{Manner, Probe, look, told};
use super::table::{KEYLESS, NOT_IDS, Route, SHORT};
use crate::isolation::thing::Owned;
use crate::isolation::world::{By, CALLERS, World};

/// Answered as asked, or led on.
fn is_served(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::FOUND
}

impl Probe<'_> {
    /// Tries one operation in every way its routes give.
    pub(super) async fn operation(&mut self, operation: &Operation, routes: &[&Route]) -> anyhow::Result<()> {
        self.document(operation, routes);
        for (n, route) in routes.iter().enumerate() {
            let home = slots(route, self.home).await?;
            let foreign = slots(route, self.foreign).await?;
            if n == 0 {
                self.strangers(operation, routes, &home).await?;
                self.malformed(operation, route, &home).await?;
            }
            self.foreign_ids(operation, route, &home, &foreign).await?;
            self.success(operation, route, &home, &foreign).await?;
        }
        Ok(())
    }

    /// The document and the table tell the whole story, and the same.
    fn document(&mut self, operation: &Operation, routes: &[&Route]) {
        let (service, id) = (self.service, &operation.id);
        let is_public = routes.iter().all(|route| route.by == By::Anybody);
        self.findings.check(is_public != operation.is_private, || {
            format!(
                "{service} {id}: the table says public: {is_public}, the document private: {}",
                operation.is_private
            )
        });
        let writes = operation.method != Method::GET;
        self.findings.check(
            !writes || routes.iter().all(|route| route.by != By::Auditor),
            || format!("{service} {id}: it writes, so it is not for auditors"),
        );
        let keyless = KEYLESS.iter().any(|(keyless, _)| keyless == id);
        self.findings.check(operation.method != Method::POST || operation.is_keyed != keyless, || {
            format!("{service} {id}: take an idempotency key (params(IdempotencyKey)), or give KEYLESS the reason why not")
        });
        let example = operation.body.as_ref().map(|body| body.example.as_ref());
        self.findings
            .check(example.is_none_or(|example| example.is_some()), || {
                format!("{service} {id}: no example; put `#[schema(example = json!(…))]` on its request body")
            });
        let shown = example.flatten().map(ids).unwrap_or_default();
        let hidden = operation.body.iter().flat_map(|body| &body.hidden_ids);
        for slot in operation.ids.iter().chain(&shown).chain(hidden) {
            let is_filled = |route: &&Route| route.slots.iter().any(|(filled, _)| filled == slot);
            let is_none = NOT_IDS.iter().any(|(name, _)| name == slot);
            self.findings.check(is_none || routes.iter().any(is_filled), || {
                format!(
                    "{service} {id}: {slot} is an id; say in routes/table.rs what stands there: (\"{slot}\", …), or \
                     give NOT_IDS the reason why not"
                )
            });
        }
    }

    /// No token, forged ones, and everybody the operation is not for.
    async fn strangers(
        &mut self,
        operation: &Operation,
        routes: &[&Route],
        home: &[Slot],
    ) -> anyhow::Result<()> {
        if !operation.is_private {
            return Ok(());
        }
        let filled = operation.fill(home)?;
        let tenant = self.home.brand().tenant_id.clone();
        for (what, token) in self.home.keyring.forgeries(self.service, self.home.tenant()?) {
            let manner = Manner {
                forged: Some(&tenant),
                ..Manner::with(token)
            };
            let answer = self.send(operation, &filled, &manner).await?;
            self.expect(
                &answer,
                StatusCode::UNAUTHORIZED,
                &["token_missing", "token_invalid", "token_expired"],
                what,
            );
        }
        for caller in CALLERS {
            if routes.iter().any(|route| route.by.admits(caller)) {
                continue;
            }
            let token = self.home.token(caller, self.service).await?;
            let answer = self.send(operation, &filled, &Manner::with(token)).await?;
            let at_home = caller != By::Contact || contact_may_come(self.service);
            let (status, code) = match at_home {
                true => (StatusCode::FORBIDDEN, "caller_not_allowed"),
                false => (StatusCode::UNAUTHORIZED, "token_invalid"),
            };
            self.expect(&answer, status, &[code], &format!("the token of {caller:?}"));
        }
        Ok(())
    }

    /// A field too many anywhere in the body; no idempotency key.
    async fn malformed(&mut self, operation: &Operation, route: &Route, home: &[Slot]) -> anyhow::Result<()> {
        let token = self.home.token(route.by, self.service).await?;
        let filled = operation.fill(home)?;
        let body = operation.body.as_ref();
        let is_json = body.is_some_and(|body| body.media_type == "application/json");
        let json = filled.body.as_ref().filter(|_| is_json);
        for object in json.map(objects).unwrap_or_default() {
            let mut strange = filled.clone();
            let place = strange.body.as_mut().and_then(|body| body.pointer_mut(&object));
            if let Some(Value::Object(fields)) = place {
                fields.insert("surprise".to_owned(), json!(1));
            }
            let answer = self
                .send(operation, &strange, &Manner::with(token.clone()))
                .await?;
            let what = format!("an unknown field in \"{object}\"");
            self.expect(&answer, StatusCode::BAD_REQUEST, &["unknown_field"], &what);
        }
        if operation.is_keyed {
            let manner = Manner {
                key: Some(""),
                ..Manner::with(token)
            };
            let answer = self.send(operation, &filled, &manner).await?;
            self.expect(
                &answer,
                StatusCode::BAD_REQUEST,
                &["idempotency_key_missing"],
                "no idempotency key",
            );
        }
        Ok(())
    }

    /// Another tenant's things, one slot at a time: they must look like things that do not exist.
    async fn foreign_ids(
        &mut self,
        operation: &Operation,
        route: &Route,
        home: &[Slot],
        foreign: &[Slot],
    ) -> anyhow::Result<()> {
        if !operation.is_private || route.by == By::Reviewer {
            return Ok(());
        }
        let token = self.home.token(route.by, self.service).await?;
        let forged = &self.foreign.brand().tenant_id;
        for (n, (slot, thing, own)) in home.iter().enumerate() {
            if thing.owned() == Owned::ByNobody {
                continue;
            }
            let with = |value: &Value| {
                let mut slots = home.to_vec();
                slots[n].2 = value.clone();
                operation.fill(&slots)
            };
            let nothing = thing.unknown();
            let unknown = self
                .send(operation, &with(&nothing)?, &Manner::with(token.clone()))
                .await?;
            let theirs = &foreign[n].2;
            let manner = Manner {
                forged: Some(forged),
                ..Manner::with(token.clone())
            };
            let mut others = vec![("another tenant's", theirs, manner)];
            if let (Owned::ByPerson, Some(colleague)) = (thing.owned(), self.home.colleague(route.by)?) {
                others.push(("a colleague's", own, Manner::with(Some(colleague))));
            }
            for (whose, value, manner) in others {
                let answer = self.send(operation, &with(value)?, &manner).await?;
                let (left, right) = (look(&answer, value), look(&unknown, &nothing));
                self.findings.check(left == right, || {
                    format!(
                        "{}: {whose} {thing:?} in {slot} answers {left:?}, an unknown one {right:?}",
                        answer.what
                    )
                });
            }
            let must_refuse = thing.owned() != Owned::ByName && !slot.starts_with('?');
            self.findings
                .check(!must_refuse || unknown.status.is_client_error(), || {
                    format!(
                        "{}: an unknown {thing:?} in {slot} is answered {} {}",
                        unknown.what, unknown.status, unknown.body
                    )
                });
        }
        Ok(())
    }

    /// The right caller succeeds, sees nothing of others, and a repetition is answered the same.
    async fn success(
        &mut self,
        operation: &Operation,
        route: &Route,
        home: &[Slot],
        foreign: &[Slot],
    ) -> anyhow::Result<()> {
        let key = Uuid::now_v7().to_string();
        // Anybody's requests share one space of keys, every tenant has its own.
        let manner = Manner {
            key: operation.is_private.then_some(key.as_str()),
            ..Manner::with(self.foreign.token(route.by, self.service).await?)
        };
        let theirs = self.send(operation, &operation.fill(foreign)?, &manner).await?;
        self.findings.check(is_served(theirs.status), || {
            told("another tenant's own call", &theirs)
        });
        if operation.is_private && route.by != By::Reviewer {
            self.foreign.learn(&theirs.body);
        }

        let filled = operation.fill(home)?;
        let manner = Manner {
            key: Some(&key),
            forged: Some(&self.foreign.brand().tenant_id),
            ..Manner::with(self.home.token(route.by, self.service).await?)
        };
        let answer = self.send(operation, &filled, &manner).await?;
        self.findings.check(is_served(answer.status), || {
            told("the right caller's call", &answer)
        });
        let leaked = self.foreign.leaked(&answer.body);
        self.findings
            .check(route.by == By::Reviewer || leaked.is_empty(), || {
                format!("{}: the answer names another tenant's {leaked:?}", answer.what)
            });
        if !operation.is_keyed {
            return Ok(());
        }
        let again = self.send(operation, &filled, &manner).await?;
        self.findings.check(
            (again.status, &again.body) == (answer.status, &answer.body),
            || {
                format!(
                    "{}; the first answer was {} {}",
                    told("the same under the same key", &again),
                    answer.status,
                    answer.body
                )
            },
        );
        let manner = Manner {
            padding: "\n",
            ..manner
        };
        let other = self.send(operation, &filled, &manner).await?;
        self.expect(
            &other,
            StatusCode::CONFLICT,
            &["idempotency_key_reused"],
            "another body under the same key",
        );
        Ok(())
    }

    /// A place in another tenant's list is a place like any other, in every list, and shows nothing of it.
    pub(super) async fn cursors(&mut self, lists: &[(&Operation, &Route)]) -> anyhow::Result<()> {
        let mut cursors = Vec::new();
        for (operation, route) in lists {
            let all = slots(route, self.foreign).await?;
            let manner = Manner::with(self.foreign.token(route.by, self.service).await?);
            let first = operation.fill(&unfiltered(all))?.with("limit", "1");
            let page = self.send(operation, &first, &manner).await?;
            self.foreign.learn(&page.body);
            cursors.extend(page.body["next_cursor"].as_str().map(str::to_owned));
        }
        for (operation, route) in lists {
            let list = operation.fill(&unfiltered(slots(route, self.home).await?))?;
            let manner = Manner::with(self.home.token(route.by, self.service).await?);
            let mut is_tried = false;
            for cursor in &cursors {
                let page = list.clone().with("cursor", cursor);
                let answer = self.send(operation, &page, &manner).await?;
                let leaked = self.foreign.leaked(&answer.body);
                is_tried |= answer.status.is_success();
                let holds = answer.status.is_success() || answer.code() == "cursor_malformed";
                self.findings.check(holds && leaked.is_empty(), || {
                    format!(
                        "{}, with another tenant's {leaked:?}",
                        told("another tenant's cursor", &answer)
                    )
                });
            }
            let (service, id) = (self.service, &operation.id);
            let is_short = SHORT.iter().any(|(short, _)| short == id);
            self.findings.check(is_tried || is_short, || {
                format!("{service} {id}: none of another tenant's cursors {cursors:?} fits")
            });
        }
        Ok(())
    }
}

/// A list without filters is the longest.
fn unfiltered(mut slots: Vec<Slot>) -> Vec<Slot> {
    slots.retain(|(slot, ..)| !slot.starts_with('?'));
    slots
}

/// Contacts may go to some services only; elsewhere their tokens prove nothing.
fn contact_may_come(service: &str) -> bool {
    chassis::auth::token::CONTACT_AUDIENCE.contains(&service)
}

pub(in crate::isolation) async fn slots(route: &Route, world: &World) -> anyhow::Result<Vec<Slot>> {
    let mut slots = Vec::with_capacity(route.slots.len());
    for (slot, thing) in route.slots {
        let value = thing
            .make(world)
            .await
            .map_err(|error| error.context(format!("to make {thing:?}")))?;
        if thing.owned() != Owned::ByNobody {
            world.learn(&value);
        }
        slots.push((*slot, *thing, value));
    }
    Ok(slots)
}
