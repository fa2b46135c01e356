//! The sink as a process of its own, for `rivals/`, whose callers are none of ours.

use std::io::stdin;

use crate::sink::Sink;

/// Says where the sink is; then answers each line, the name of an account, with its distinct ids and its repeats, until
/// there are no more lines.
#[expect(clippy::print_stdout, reason = "the answers")]
pub(crate) fn serve_sink() -> anyhow::Result<()> {
    let sink = Sink::open()?;
    println!("{}", sink.url(""));
    for account in stdin().lines() {
        let tally = sink.tally(account?.trim());
        println!("{} {}", tally.distinct, tally.repeats);
    }
    Ok(())
}
