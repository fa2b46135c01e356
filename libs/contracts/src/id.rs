//! Ids as types, so that a contact is never passed where a member is meant. All are UUID v7.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $(
            $(#[$doc])*
            #[derive(
                Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
                utoipa::ToSchema,
            )]
            #[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
            #[serde(transparent)]
            #[schema(value_type = uuid::Uuid)]
            pub struct $name(pub uuid::Uuid);

            impl $name {
                /// A new id, sorted after the ones made before it.
                #[must_use]
                pub fn new() -> Self {
                    Self(uuid::Uuid::now_v7())
                }
            }

            impl From<uuid::Uuid> for $name {
                fn from(id: uuid::Uuid) -> Self {
                    Self(id)
                }
            }

            impl From<$name> for uuid::Uuid {
                fn from(id: $name) -> Self {
                    id.0
                }
            }

            impl Default for $name {
                fn default() -> Self {
                    Self::new()
                }
            }

            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    self.0.fmt(f)
                }
            }

            impl std::str::FromStr for $name {
                type Err = uuid::Error;

                fn from_str(text: &str) -> Result<Self, uuid::Error> {
                    text.parse().map(Self)
                }
            }
        )*
    };
}

ids! {
    /// A brand using the platform.
    TenantId,
    /// A person on a tenant's staff.
    MemberId,
    /// An end customer, once per tenant.
    ContactId,
    /// A live code.
    CodeId,
    /// An import of contacts.
    ImportId,
    /// A community.
    GroupId,
    /// Groups that open one after another as each fills.
    SeriesId,
    /// A mass message.
    BroadcastId,
    /// A member's share of a mass message, to confirm.
    TaskId,
    /// A message in a contact's inbox.
    MessageId,
    /// A list of contacts, uploaded to be an audience.
    ContactListId,
}
