//! Phone numbers of Japan and mainland China, as people write them, to E.164.

/// A number in E.164 form: `+819012345678`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phone(String);

/// Why something is not a number we can call. Never contains the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PhoneError {
    #[error("a character that no phone number has")]
    Character,
    #[error("a country code other than +81 and +86")]
    Country,
    #[error("not a number of Japan or mainland China")]
    Number,
}

impl Phone {
    /// Reads a number with or without country code; spaces, hyphens, dots, brackets and full-width characters
    /// are how people write, and don't matter.
    ///
    /// Without a country code a number is taken as Japanese if it has Japan's leading 0, as Chinese if it looks
    /// like a Chinese mobile number; a Chinese landline needs its +86.
    pub(crate) fn parse(written: &str) -> Result<Self, PhoneError> {
        let (international, digits) = plain(written)?;
        let number = if let Some(rest) = international {
            match (rest.strip_prefix("81"), rest.strip_prefix("86")) {
                // "+81 (0)90" is common on business cards.
                (Some(number), _) => japan(number.strip_prefix('0').unwrap_or(number)),
                (_, Some(number)) => china(number.strip_prefix('0').unwrap_or(number)),
                _ => return Err(PhoneError::Country),
            }
        } else if let Some(number) = digits.strip_prefix('0') {
            japan(number)
        } else {
            china_mobile(&digits)
        };
        number.map(Self).ok_or(PhoneError::Number)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The digits, and those after the international prefix if there is one.
fn plain(written: &str) -> Result<(Option<String>, String), PhoneError> {
    let mut digits = String::new();
    let mut plus = false;
    for character in written.trim().chars() {
        match half_width(character) {
            digit @ '0'..='9' => digits.push(digit),
            '+' if digits.is_empty() && !plus => plus = true,
            ' ' | '-' | '.' | '(' | ')' => {}
            _ => return Err(PhoneError::Character),
        }
    }
    let international = if plus {
        Some(digits.as_str())
    } else {
        digits.strip_prefix("00")
    };
    Ok((international.map(str::to_owned), digits))
}

/// What a Japanese or Chinese keyboard types for the same character.
pub(crate) fn half_width(character: char) -> char {
    match character {
        '\u{3000}' => ' ',
        // Full-width forms stand in the order of ASCII.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(character) - 0xff01 + 0x21).unwrap_or(character),
        '‐' | '‑' | '–' | '—' | '―' | '−' | 'ー' => '-',
        other => other,
    }
}

/// Japan, without the leading 0: ten digits for mobile and IP phones, nine otherwise.
fn japan(number: &str) -> Option<String> {
    let mobile = ["50", "60", "70", "80", "90"]
        .iter()
        .any(|prefix| number.starts_with(prefix));
    let fits = if mobile {
        number.len() == 10
    } else {
        number.len() == 9 && !number.starts_with('0')
    };
    fits.then(|| format!("+81{number}"))
}

/// Mainland China: a mobile number, or a landline without its leading 0 (area codes 10, 2x, and three digits).
fn china(number: &str) -> Option<String> {
    let landline = match number.as_bytes() {
        [b'1', b'0', rest @ ..] | [b'2', _, rest @ ..] => rest.len() == 8,
        [b'3'..=b'9', _, _, rest @ ..] => matches!(rest.len(), 7 | 8),
        _ => false,
    };
    china_mobile(number).or_else(|| landline.then(|| format!("+86{number}")))
}

fn china_mobile(number: &str) -> Option<String> {
    let fits = number.len() == 11 && matches!(number.as_bytes(), [b'1', b'3'..=b'9', ..]);
    fits.then(|| format!("+86{number}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        for (written, expected) in [
            ("090-1234-5678", "+819012345678"),
            ("+81 90 1234 5678", "+819012345678"),
            ("+81 (0)90-1234-5678", "+819012345678"),
            ("０９０ー１２３４ー５６７８", "+819012345678"),
            ("0081-3-1234-5678", "+81312345678"),
            ("03-1234-5678", "+81312345678"),
            ("(06) 6123.4567", "+81661234567"),
            ("138 0013 8000", "+8613800138000"),
            ("+86 138-0013-8000", "+8613800138000"),
            ("008613800138000", "+8613800138000"),
            ("+86 10 6552 9988", "+861065529988"),
            ("+86 (0)21-6123 4567", "+862161234567"),
            ("+86 755 2612 3456", "+8675526123456"),
        ] {
            assert_eq!(
                Phone::parse(written).as_ref().map(Phone::as_str),
                Ok(expected),
                "{written}"
            );
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for (written, expected) in [
            ("", PhoneError::Number),
            ("12345", PhoneError::Number),
            ("090-1234-567", PhoneError::Number),
            ("12800138000", PhoneError::Number),
            ("010-6552-9988", PhoneError::Number),
            ("+86 12345678901234", PhoneError::Number),
            ("+1 415 555 0100", PhoneError::Country),
            ("+", PhoneError::Country),
            ("not given", PhoneError::Character),
            ("090+12345678", PhoneError::Character),
        ] {
            assert_eq!(Phone::parse(written), Err(expected), "{written}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_reads_again_as_itself(written in "\\+?[0-9 ()-]{0,16}") {
            if let Ok(phone) = Phone::parse(&written) {
                prop_assert_eq!(Phone::parse(phone.as_str()), Ok(phone));
            }
        }

        #[test]
        fn nothing_makes_it_panic(written in "\\PC*") {
            let _ = Phone::parse(&written);
        }
    }
}
