//! What content may say, in which language, and that whatever is written and whoever reads it, it ends.

use proptest::prelude::*;
use serde_json::json;

use super::reader::known;
use super::*;

fn read(content: serde_json::Value) -> Result<Content, String> {
    serde_json::from_value(content).map_err(|error| error.to_string())
}

/// In Chinese, with these words.
fn zh(text: &str) -> serde_json::Value {
    json!({"language": "zh", "variants": {"zh": {"text": text}}})
}

fn reader<'a>(name: &'a str, language: &'a str) -> Reader<'a> {
    Reader {
        language,
        contact_name: known(name),
        member_alias: Value::Known("小雨"),
        shop_link: Value::Known("https://shop.example/?st=x"),
        opt_out_link: Value::Known("https://m.example.com/v1/opt-out/x"),
        short: None,
    }
}

fn three() -> Content {
    read(json!({
        "language": "en",
        "variants": {
            "ja": {"text": "{{contact.name|お客}}様、{{brand.season}}です。"},
            "zh": {"text": "{{contact.name|亲}}，{{brand.season}}到了。{{member.alias|我}}"},
            "en": {
                "text": "{{contact.name|Hello}}: {{brand.season}} {{shop.link}}",
                "attachments": [
                    {"link": {"title": "For {{contact.name|you}}", "url": "{{shop.link}}"}},
                    {"mini_program": {"title": "{{brand.season}}", "pic": {"media_id": "M"},
                                      "appid": "wx1234567890abcdef", "page": "pages/i?s={{brand.season}}"}}
                ]
            }
        },
        "constants": [{"name": "season", "text": "春 2026"}],
        "shop_url": "https://shop.example/"
    }))
    .unwrap()
}

#[test]
fn each_reads_their_own_language_or_the_contents() {
    let content = three();
    for (tag, language) in [
        ("ja", Language::Ja),
        ("ja-JP", Language::Ja),
        ("zh-Hans-CN", Language::Zh),
        ("ZH", Language::Zh),
        ("yue", Language::Zh),
        ("en-GB", Language::En),
        ("fr", Language::En),
        ("", Language::En),
    ] {
        assert_eq!(content.language_for(tag), language, "{tag}");
    }
    let said = content.say_to(&reader("王芳", "zh-TW")).unwrap();
    assert_eq!(said.text, "王芳，春 2026到了。小雨");
    assert_eq!(said.language, Some(Language::Zh));
    assert_eq!(
        content.say_to(&reader("", "ja")).unwrap().text,
        "お客様、春 2026です。"
    );

    let two =
        read(json!({"language": "ja", "variants": {"ja": {"text": "は"}, "en": {"text": "yes"}}})).unwrap();
    assert_eq!(two.language_for("zh"), Language::Ja);
}

#[test]
fn cards_are_filled_in_where_they_may_be() {
    let said = three().say_to(&reader("A&B", "en")).unwrap();
    assert_eq!(said.text, "A&B: 春 2026 https://shop.example/?st=x");
    assert_eq!(
        serde_json::to_value(&said.attachments).unwrap(),
        json!([
            {"link": {"title": "For A&B", "desc": null, "url": "https://shop.example/?st=x", "pic_url": null}},
            {"mini_program": {"title": "春 2026", "pic": {"media_id": "M"}, "appid": "wx1234567890abcdef",
                              "page": "pages/i?s=%E6%98%A5%202026"}},
        ])
    );
    let nobody = three().say_to_nobody().unwrap();
    assert_eq!(nobody.text, "Hello: 春 2026 https://shop.example/");
    assert_eq!(
        read(zh("{{member.alias}}"))
            .unwrap()
            .say_to_nobody()
            .unwrap()
            .text,
        "…"
    );
}

#[test]
fn what_can_not_be_sent_is_refused_with_its_place() {
    let with = |text: &str, key: &str, value: serde_json::Value| {
        let mut content = zh(text);
        content[key] = value;
        content
    };
    let linked = |url: &str, constants: serde_json::Value| {
        json!({"language": "zh", "constants": constants, "variants": {"zh": {"text": "t", "attachments": [
            {"link": {"title": "t", "url": url}}]}}})
    };
    let many = vec![json!({"image": {"media_id": "M"}}); 10];
    for (content, told) in [
        (
            zh("{{contact.nmae|x}}"),
            "unknown variable at character 1; known are contact.name",
        ),
        (
            zh("春 {{brand.season}}"),
            "unknown constant at character 3 of variants.zh.text",
        ),
        (
            zh("{{shop.link}}"),
            "`shop.link` in variants.zh.text leads nowhere",
        ),
        (zh(&"x".repeat(2_001)), "shorten it to 2000"),
        (
            zh(&"漢".repeat(1_400)),
            "variant zh: filled in it is longer than 4000 bytes",
        ),
        (
            json!({"language": "ja", "variants": {"zh": {"text": "t"}}}),
            "no variant in the content's own language ja",
        ),
        (
            json!({"language": "fr", "variants": {"zh": {"text": "t"}}}),
            "unknown variant",
        ),
        (
            json!({"language": "zh", "variants": {"zh": {"text": "t"}, "fr": {"text": "t"}}}),
            "unknown field `fr`",
        ),
        (
            json!({"language": "zh", "variants": {"zh": {"text": "t", "attachments": many}}}),
            "more than 9 attachments",
        ),
        (
            with("t", "constants", json!([{"name": "A", "text": "t"}])),
            "constant 0 has a name other than",
        ),
        (
            with(
                "t",
                "constants",
                json!([{"name": "a", "text": "t"}, {"name": "a", "text": "t"}]),
            ),
            "constant 1 stands",
        ),
        (
            with("t", "constants", json!([{"name": "a"}])),
            "either `text` or `link`",
        ),
        (
            with(
                "t",
                "constants",
                json!([{"name": "a", "link": "http://x.example/"}]),
            ),
            "not https",
        ),
        (
            with("t", "shop_url", json!("https://u:p@x.example/")),
            "user name or password",
        ),
        (
            linked("{{brand.a}}", json!([{"name": "a", "text": "t"}])),
            "variants.zh.attachments[0].link.url has to be a link",
        ),
        (
            linked(
                "https://x.example/?a={{brand.a}}",
                json!([{"name": "a", "link": "https://y.example/"}]),
            ),
            "character 22 of variants.zh.attachments[0].link.url is a link",
        ),
        (
            linked("{{brand.b}}", json!([])),
            "unknown constant at character 1 of variants.zh.attachments[0].link.url",
        ),
        (linked("https://{{brand.a}}/", json!([])), "stands before the `?`"),
    ] {
        let refused = read(content.clone()).expect_err(&content.to_string());
        assert!(refused.contains(told), "{content}: {refused}");
    }
    let large: Vec<_> = (0..9)
        .map(|_| json!({"link": {"title": "t", "url": format!("https://x.example/{}", "x".repeat(2_000))}}))
        .collect();
    let variant = json!({"text": "t", "attachments": large});
    let large = json!({"language": "zh", "variants": {"zh": variant, "ja": variant, "en": variant}});
    assert!(read(large).unwrap_err().contains("longer than 32768 bytes"));
}

#[test]
fn it_is_known_what_it_depends_on() {
    let one = |text| read(zh(text)).unwrap();
    assert!(one("t").is_same_for_all() && !one("t").needs_people());
    assert!(!one("{{contact.name|x}}").is_same_for_all() && one("{{contact.name|x}}").needs_people());
    assert!(!one("{{member.alias}}").is_same_for_all() && one("{{member.alias}}").needs_people());
    assert!(!three().is_same_for_all() && three().needs_people());
    let shop = read(
        json!({"language": "zh", "shop_url": "https://x.example", "variants": {"zh": {"text": "{{shop.link}}"}}}),
    );
    let shop = shop.unwrap();
    assert!(!shop.is_same_for_all() && !shop.needs_people() && shop.shop_url().is_some());
    let idle =
        read(json!({"language": "zh", "shop_url": "https://x.example", "variants": {"zh": {"text": "t"}}}));
    assert!(idle.as_ref().unwrap().is_same_for_all() && idle.unwrap().shop_url().is_none());
    let way_out = one("{{optout.link}}");
    assert!(!way_out.is_same_for_all() && !way_out.needs_people());
    assert_eq!(
        way_out.say_to_nobody().unwrap().text,
        "…",
        "it is nobody's in particular"
    );
    let languages =
        read(json!({"language": "zh", "variants": {"zh": {"text": "t"}, "ja": {"text": "t"}}})).unwrap();
    assert!(!languages.is_same_for_all() && languages.needs_people());
}

#[test]
fn one_bad_rendering_is_one_persons() {
    let content = read(
        json!({"language": "zh", "variants": {"zh": {"text": "t", "attachments": [
        {"link": {"title": "{{contact.name|x}}", "url": "https://x.example/"}}]}}}),
    )
    .unwrap();
    assert!(content.say_to(&reader("王芳", "zh")).is_ok());
    let long = "漢".repeat(100);
    assert_eq!(
        content.say_to(&reader(&long, "zh")),
        Err(RenderError::TooLong { bytes_max: 128 })
    );
}

/// Any text, controls too.
fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..60).prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Content is kept as it was written, and fills in within its bounds whoever reads it.
    #[test]
    fn content_is_kept_and_ends(text in text(), title in text(), name in text()) {
        let content = json!({
            "language": "en",
            "shop_url": "https://shop.example/",
            "variants": {
                "zh": {"text": format!("{text}{{{{contact.name|{title}}}}}")},
                "en": {"text": "{{contact.name|}}.", "attachments": [{"link": {"title": title, "url": "{{shop.link}}"}}]},
            },
        });
        let Ok(content) = read(content) else { return Ok(()) };
        let kept = serde_json::to_value(&content).unwrap();
        prop_assert_eq!(&read(kept).unwrap(), &content);
        for language in ["zh", "en"] {
            if let Ok(said) = content.say_to(&reader(&name, language)) {
                prop_assert!(said.text.len() <= said::TEXT_BYTES_MAX);
            }
        }
    }
}
