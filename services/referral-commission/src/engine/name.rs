//! The names the shop and the plan give to things, each a type of its own, parsed at the door.

use chassis::text::Text;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $max:tt),* $(,)?) => {
        $(
            $(#[$doc])*
            #[derive(
                Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema, sqlx::Type,
            )]
            #[serde(transparent)]
            #[sqlx(transparent)]
            #[schema(value_type = String, min_length = 1, max_length = $max)]
            pub(crate) struct $name(Text<$max>);

            impl $name {
                #[must_use]
                pub(crate) fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl std::str::FromStr for $name {
                type Err = chassis::text::TextError;

                fn from_str(raw: &str) -> Result<Self, Self::Err> {
                    Text::parse(raw).map(Self)
                }
            }

            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(self.as_str())
                }
            }
        )*
    };
}

names! {
    /// An event's id, chosen by the shop; compared bytewise where it breaks a tie.
    EventId = 128,
    /// The shop's order number.
    OrderNo = 64,
    /// Whoever buys or earns: the tenant's own (external) id of the person. Any id is a person.
    PersonId = 64,
    /// A rule of a plan: "R1".
    RuleId = 32,
    /// What is sold: "PKG398".
    Sku = 64,
}

impl OrderNo {
    /// Whether the number can stand in the subject of a domain event, where it is the key.
    #[must_use]
    pub(crate) fn is_subject_token(&self) -> bool {
        !self
            .as_str()
            .contains(|c: char| c.is_whitespace() || matches!(c, '.' | '*' | '>'))
    }
}
