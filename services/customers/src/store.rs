//! What customers remembers: one function per statement, folded by noun.
//!
//! Rows of other tenants are out of sight in every one of them: the transaction names the tenant, row-level
//! security does the rest.

pub(crate) mod addressee;
pub(crate) mod audience;
pub(crate) mod code;
pub(crate) mod contact;
pub(crate) mod import;
pub(crate) mod member;
pub(crate) mod scan;
pub(crate) mod tag;
