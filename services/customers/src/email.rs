//! E-mail addresses as people write them, to the form that every mail server takes.

use crate::phone::half_width;

const BYTES_MAX: usize = 254;
const LOCAL_BYTES_MAX: usize = 64;
const LABEL_BYTES_MAX: usize = 63;

/// An address in plain ASCII, without quotes, comments or literals, its domain in lower case: `hanako@example.jp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Email(String);

/// Why something is not an address we can write to. Never contains the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EmailError {
    #[error("longer than 254 characters, or more than 64 before the @")]
    Length,
    #[error("not of the form name@domain")]
    Form,
    #[error("a character that no plain e-mail address has")]
    Character,
}

impl Email {
    /// Reads an address; full-width characters don't matter.
    pub(crate) fn parse(written: &str) -> Result<Self, EmailError> {
        let address: String = written.chars().map(half_width).collect();
        let (local, domain) = address.trim().rsplit_once('@').ok_or(EmailError::Form)?;
        if address.trim().len() > BYTES_MAX || local.len() > LOCAL_BYTES_MAX {
            return Err(EmailError::Length);
        }
        let domain = domain.to_ascii_lowercase();
        if !local.bytes().all(|byte| is_local(byte) || byte == b'.') {
            return Err(EmailError::Character);
        }
        if !domain.bytes().all(|byte| is_label(byte) || byte == b'.') {
            return Err(EmailError::Character);
        }
        let has_name = local.split('.').all(|atom| !atom.is_empty());
        if has_name && is_domain(&domain) {
            Ok(Self(format!("{local}@{domain}")))
        } else {
            Err(EmailError::Form)
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// `atext` of RFC 5322.
const fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~')
}

const fn is_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

/// Of two labels at least, the last one no number: an IP address is nobody's domain.
fn is_domain(domain: &str) -> bool {
    let is_whole = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = domain.rsplit_once('.').map(|(_, last)| last);
    let is_name = last.is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()));
    is_name && domain.split('.').all(is_whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        for (written, expected) in [
            ("hanako@example.jp", "hanako@example.jp"),
            (
                " Hanako.Sato+shop@Example.CO.JP ",
                "Hanako.Sato+shop@example.co.jp",
            ),
            ("ｘｉａｏ＠ｅｘａｍｐｌｅ．ｃｎ", "xiao@example.cn"),
            (
                "o'neil_{a}|b~#!$%&*/=?^`@x.y-z.example",
                "o'neil_{a}|b~#!$%&*/=?^`@x.y-z.example",
            ),
            ("10086@qq.com", "10086@qq.com"),
            ("a@xn--fiqs8s.xn--p1ai", "a@xn--fiqs8s.xn--p1ai"),
        ] {
            assert_eq!(
                Email::parse(written).as_ref().map(Email::as_str),
                Ok(expected),
                "{written}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let (long_name, long) = (
            "a".repeat(65) + "@example.jp",
            "a@".to_owned() + &"b.".repeat(130) + "jp",
        );
        for (written, expected) in [
            ("", EmailError::Form),
            ("hanako", EmailError::Form),
            ("@example.jp", EmailError::Form),
            ("hanako@", EmailError::Form),
            ("hanako@example", EmailError::Form),
            ("hanako@127.0.0.1", EmailError::Form),
            ("hanako@[127.0.0.1]", EmailError::Character),
            ("hanako@-example.jp", EmailError::Form),
            ("hanako@example..jp", EmailError::Form),
            ("hana..ko@example.jp", EmailError::Form),
            (".hanako@example.jp", EmailError::Form),
            ("a@b@example.jp", EmailError::Character),
            ("hana ko@example.jp", EmailError::Character),
            ("\"hanako\"@example.jp", EmailError::Character),
            ("Hanako <hanako@example.jp>", EmailError::Character),
            ("a@example.jp,b@example.jp", EmailError::Character),
            ("a@example.jp\r\nBcc: b@example.jp", EmailError::Character),
            ("a@example.jp\0", EmailError::Character),
            ("花子@example.jp", EmailError::Character),
            ("hanako@例え.jp", EmailError::Character),
            (&long_name, EmailError::Length),
            (&long, EmailError::Length),
        ] {
            assert_eq!(Email::parse(written), Err(expected), "{written}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_reads_again_as_itself(written in "[a-zA-Z0-9.+<>\"＠@\\-\r\n ]{0,20}@[a-zA-Z0-9.\\-]{0,20}") {
            if let Ok(email) = Email::parse(&written) {
                let plain = |byte: u8| byte.is_ascii_graphic() && !b"<>\",;:()[]\\".contains(&byte);
                prop_assert!(email.as_str().bytes().all(plain));
                prop_assert_eq!(Email::parse(email.as_str()), Ok(email));
            }
        }

        #[test]
        fn nothing_makes_it_panic(written in "\\PC*") {
            let _ = Email::parse(&written);
        }
    }
}
