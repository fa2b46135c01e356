//! Input that nobody would send: good input, mangled at random, for as long as there is time.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use crate::Dice;

/// Seconds per target.
const SECS: &str = "SHEQUN_FUZZ_SECS";
const SECS_UNLESS_TOLD: u64 = 2;
const BYTES_MAX: usize = 16 * 1024;
const MANGLED_MAX: usize = 6;
/// What parsers stumble over.
const TOKENS: [&[u8]; 14] = [
    b"\0",
    b"\xff",
    b"\"",
    b"{{",
    b"}}",
    b"\\u0000",
    b"-1",
    b"99999999999999999999",
    b"://",
    b"@",
    b"%",
    b",",
    b"\r\n",
    "\u{202e}\u{1f9d1}\u{200d}".as_bytes(),
];

/// Hands mangled seeds to the target until the time is over; tells how many there were.
///
/// # Panics
/// When the target does; the input is printed.
#[expect(clippy::print_stderr, reason = "the input that broke the target")]
pub fn fuzz(seeds: &[&[u8]], mut target: impl FnMut(&[u8])) -> u64 {
    let secs = std::env::var(SECS).ok().and_then(|secs| secs.parse().ok());
    let end = Instant::now() + Duration::from_secs(secs.unwrap_or(SECS_UNLESS_TOLD));
    let dice = Dice::new(Dice::any_seed());
    let mut inputs = 0;
    while Instant::now() < end {
        let mut input = seeds[dice.within(0..seeds.len())].to_vec();
        for _ in 0..dice.within(0..MANGLED_MAX) {
            mangle(&mut input, seeds, &dice);
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
            eprintln!("broken by {:?}", String::from_utf8_lossy(&input));
            eprintln!("in bytes {input:?}");
            resume_unwind(panic);
        }
        inputs += 1;
    }
    inputs
}

fn mangle(input: &mut Vec<u8>, seeds: &[&[u8]], dice: &Dice) {
    let at = dice.within(0..input.len() + 1);
    let to = dice.within(at..input.len() + 1);
    match dice.within(0..6) {
        0 if at < input.len() => input[at] ^= 1 << dice.within(0..8),
        1 => drop(input.drain(at..to)),
        2 => {
            let token = TOKENS[dice.within(0..TOKENS.len())];
            input.splice(at..at, token.iter().copied());
        }
        3 => {
            let copy = input[at..to].to_vec();
            input.splice(at..at, copy);
        }
        4 => {
            let other = seeds[dice.within(0..seeds.len())];
            input.splice(at..to, other[dice.within(0..other.len() + 1)..].iter().copied());
        }
        _ => input.truncate(at),
    }
    input.truncate(BYTES_MAX);
}
