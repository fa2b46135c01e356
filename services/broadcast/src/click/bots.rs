//! Programs that follow links before people do, or instead of them, by what they call themselves.
//!
//! Names are parts of the `User-Agent` header in lower case. A person's browser inside WeChat (`MicroMessenger`), WeCom
//! (`wxwork`) or LINE (`Line/`) is none of them.

/// A product of which this is the name, at the end of a word: `Googlebot/2.1`, `LinkedInBot`, `bytespider;`.
const WORD_ENDS: [&str; 4] = ["bot", "spider", "crawler", "crawl"];
/// Words that end so and are people's: a maker of phones.
const NOT: [&str; 1] = ["cubot"];

const PARTS: [&str; 43] = [
    // Previews in chats and networks.
    "facebookexternalhit",
    "facebookcatalog",
    "meta-externalagent",
    "meta-externalfetcher",
    "line-poker",
    "whatsapp/",
    "skypeuripreview",
    "microsoftpreview",
    "bingpreview",
    "snapchat ads",
    "pinterest/0.",
    "vkshare",
    "viber/",
    "iframely",
    "embedly",
    "google-read-aloud",
    "google web preview",
    "google-pagerenderer",
    "yahoo! slurp",
    "yahoo link preview",
    "tumblr/",
    "flipboardproxy",
    "nuzzel",
    "w3c_validator",
    // Mail programs' proxies, and scanners of links.
    "googleimageproxy",
    "yahoomailproxy",
    "barracuda",
    "proofpoint",
    "mimecast",
    "urldefense",
    "safelinks",
    "symantec",
    "trendmicro",
    "zscaler",
    "virustotal",
    // Programs without a person.
    "headlesschrome",
    "phantomjs",
    "lighthouse",
    "python-requests",
    "libwww-perl",
    "go-http-client",
    "apache-httpclient",
    "curl/",
];
const BEGINS: [&str; 8] = [
    "wget/",
    "java/",
    "python/",
    "python-urllib",
    "aiohttp",
    "axios/",
    "node-fetch",
    "okhttp/",
];

/// Whether a `User-Agent` is a program's; nobody's browser is silent about itself.
pub(super) fn is_bot(agent: &str) -> bool {
    let agent = agent.trim().to_ascii_lowercase();
    agent.is_empty()
        || PARTS.iter().any(|part| agent.contains(part))
        || BEGINS.iter().any(|part| agent.starts_with(part))
        || agent
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| !NOT.contains(&word) && WORD_ENDS.iter().any(|end| word.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use super::is_bot;

    #[test]
    fn people_are_told_from_programs() {
        for people in [
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
             Mobile/15E148 MicroMessenger/8.0.50(0x1800323d) NetType/WIFI Language/zh_CN",
            "Mozilla/5.0 (Linux; Android 14; CUBOT KINGKONG) AppleWebKit/537.36 Chrome/130.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 wxwork/4.1.28",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Safari Line/14.10.0",
        ] {
            assert!(!is_bot(people), "{people}");
        }
        for program in [
            "",
            "  ",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "facebookexternalhit/1.1;line-poker/1.0",
            "TelegramBot (like TwitterBot)",
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            "Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (compatible; Bytespider; spider-feedback@bytedance.com)",
            "WhatsApp/2.23.20.0 A",
            "curl/8.5.0",
            "okhttp/4.12.0",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/130.0.0.0 Safari/537.36",
        ] {
            assert!(is_bot(program), "{program}");
        }
    }
}
