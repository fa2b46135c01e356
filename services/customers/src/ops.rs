//! What customers does: one operation a file, each one transaction on one screen.

pub(crate) mod change_consent;
pub(crate) mod import_contacts;
pub(crate) mod issue_code;
pub(crate) mod read_recipients;
pub(crate) mod record_talk;
pub(crate) mod remark;
pub(crate) mod scan;
pub(crate) mod set_zone;
pub(crate) mod tag_contact;
