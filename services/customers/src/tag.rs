//! Tags: the tenant's own words for its contacts.

use chassis::text::Text;
use std::collections::BTreeSet;

/// A tag, unique per tenant.
pub(crate) type TagName = Text<30>;

/// Tags one request may name.
pub(crate) const TAGS_MAX: usize = 20;

/// Each tag once, sorted: rows are locked in this order.
pub(crate) fn distinct(tags: Vec<TagName>) -> Vec<TagName> {
    BTreeSet::from_iter(tags).into_iter().collect()
}
