//! Live codes: a QR code that decides member, welcome, tags and channel of whoever scans it (D61, D62).

use chassis::text::{Multiline, Text};
use contracts::{CodeId, MemberId};
use jiff::Timestamp;
use qrcode::QrCode;
use qrcode::render::svg;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::error::Error;
use crate::tag::{TAGS_MAX, TagName};

/// Members that may share one code.
pub(crate) const CODE_MEMBERS_MAX: usize = 100;
/// The heaviest weight; the lightest is 1.
pub(crate) const WEIGHT_MAX: u32 = 1_000;
/// Side of a module of the drawn code, and so its size on a sticker.
const MODULE_PIXELS: u32 = 8;

/// A live code to be issued.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "parcel sticker, November",
    "members": [
        {"member_id": "0193b3a0-0000-7000-8000-000000000001", "weight": 2},
        {"member_id": "0193b3a0-0000-7000-8000-000000000002"},
    ],
    "welcome": "你好，我是小丸子！",
    "tags": ["parcel"],
    "state": "parcel-2026-11",
}))]
pub(crate) struct NewCode {
    /// What the staff call it.
    pub(crate) name: Text<60>,
    /// Who may be shown to a person who scans it: 1 to 100 present members.
    #[schema(min_items = 1, max_items = 100)]
    pub(crate) members: Vec<CodeMember>,
    /// Sent once to each new friend.
    #[serde(default)]
    pub(crate) welcome: Option<Multiline<1000>>,
    /// Given to everybody who scans it; tags the tenant doesn't have yet are made.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub(crate) tags: Vec<TagName>,
    /// The channel it stands for: opaque, kept with every friendship made through it.
    #[serde(default)]
    pub(crate) state: Option<Text<30>>,
}

/// A member behind a live code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeMember {
    pub(crate) member_id: MemberId,
    /// The member's share of the people, relative to the others': 1 to 1000.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1000)]
    pub(crate) weight: u32,
}

fn one() -> u32 {
    1
}

impl NewCode {
    /// Checks what the types can't.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(1..=CODE_MEMBERS_MAX).contains(&self.members.len()) {
            return Err(Error::CodeMembers);
        }
        if self.tags.len() > TAGS_MAX {
            return Err(Error::TooManyTags { field: "tags" });
        }
        for (index, member) in self.members.iter().enumerate() {
            if !(1..=WEIGHT_MAX).contains(&member.weight) {
                return Err(Error::Weight { index });
            }
            if self.members[..index]
                .iter()
                .any(|earlier| earlier.member_id == member.member_id)
            {
                return Err(Error::MemberTwice { index });
            }
        }
        Ok(())
    }
}

/// A live code.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Code {
    pub(crate) code_id: CodeId,
    /// What the QR code carries; whoever knows it can scan.
    pub(crate) token: String,
    pub(crate) name: String,
    pub(crate) members: Vec<CodeMember>,
    /// Empty: no welcome.
    pub(crate) welcome: String,
    pub(crate) tags: Vec<String>,
    pub(crate) state: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
}

/// An unguessable token: 128 random bits in lower-case base32.
pub(crate) fn new_token() -> String {
    data_encoding::BASE32_NOPAD
        .encode(&rand::random::<[u8; 16]>())
        .to_lowercase()
}

/// The code as a picture: the address of its scan page under `public_url`.
pub(crate) fn qr_svg(public_url: &Url, token: &str) -> Result<String, qrcode::types::QrError> {
    let address = format!("{}/c/{token}", public_url.as_str().trim_end_matches('/'));
    let code = QrCode::new(address)?;
    Ok(code
        .render::<svg::Color<'_>>()
        .module_dimensions(MODULE_PIXELS, MODULE_PIXELS)
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(members: Vec<CodeMember>) -> NewCode {
        let name = "sticker".parse().unwrap();
        NewCode {
            name,
            members,
            welcome: None,
            tags: vec![],
            state: None,
        }
    }

    fn member(weight: u32) -> CodeMember {
        CodeMember {
            member_id: MemberId::new(),
            weight,
        }
    }

    #[test]
    fn a_code_needs_members_each_once_with_a_weight_in_bounds() {
        assert!(code(vec![member(1), member(1000)]).check().is_ok());
        assert!(matches!(code(vec![]).check(), Err(Error::CodeMembers)));
        let crowd = (0..=CODE_MEMBERS_MAX).map(|_| member(1)).collect();
        assert!(matches!(code(crowd).check(), Err(Error::CodeMembers)));
        for weight in [0, 1001] {
            let refused = code(vec![member(1), member(weight)]).check();
            assert!(matches!(refused, Err(Error::Weight { index: 1 })));
        }
        let twice = member(1);
        let refused = code(vec![twice.clone(), member(2), twice]).check();
        assert!(matches!(refused, Err(Error::MemberTwice { index: 2 })));
    }

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let tokens: std::collections::HashSet<_> = (0..1000).map(|_| new_token()).collect();
        assert_eq!(tokens.len(), 1000);
        assert!(tokens.iter().all(|token| {
            token.len() == 26
                && token
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
        }));
    }

    #[test]
    fn the_picture_is_svg_whatever_the_public_address_ends_with() {
        let pictures = ["https://shop.example/a", "https://shop.example/a/"]
            .map(|url| qr_svg(&url.parse().unwrap(), "abc").unwrap());
        assert!(pictures[0].contains("<svg"));
        assert_eq!(pictures[0], pictures[1]);
    }
}
