//! Plans that are refused, and where.

use serde_json::{Value, json};

use super::super::samples::{at, yunji_demo};
use super::*;

type Edit = fn(&mut Value);

fn edited(edit: impl FnOnce(&mut Value)) -> PlanDraft {
    let mut plan = serde_json::to_value(yunji_demo()).unwrap();
    edit(&mut plan);
    serde_json::from_value(plan).unwrap()
}

#[test]
fn the_source_s_plan_is_a_plan() {
    let plan = yunji_demo().check().unwrap();
    assert_eq!(plan.versions[0].hold.as_secs(), 15 * 86_400);
    assert!(matches!(
        plan.versions[0].rules[0].reward,
        Reward::Fixed {
            minor_per_unit: 15_000
        }
    ));
}

#[test]
fn what_is_not_built_yet_is_refused_by_name() {
    let cases: [(&str, Edit); 7] = [
        ("profile", |plan| plan["profile"] = json!("cn-strict")),
        ("version[0].cap_ppm", |plan| {
            plan["version"][0]["cap_ppm"] = json!(300_000)
        }),
        ("version[0].cap_mode", |plan| {
            plan["version"][0]["cap_mode"] = json!("scale")
        }),
        ("version[0].rank", |plan| {
            plan["version"][0]["rank"] = json!([{"id": "manager"}])
        }),
        ("version[0].rule[1].pays", |plan| {
            plan["version"][0]["rule"][1]["pays"] = json!("ancestor")
        }),
        ("version[0].rule[1].rank", |plan| {
            plan["version"][0]["rule"][1]["rank"] = json!("manager")
        }),
        ("version[0].rule[1].levels", |plan| {
            plan["version"][0]["rule"][1]["levels"] = json!(1)
        }),
    ];
    for (field, edit) in cases {
        let fault = edited(edit).check().unwrap_err();
        assert_eq!(fault.field, field);
        assert!(matches!(fault.flaw, Flaw::Unsupported(_)), "{fault}");
    }
}

#[test]
fn a_flaw_is_named_by_its_path() {
    let cases: [(&str, Edit); 14] = [
        ("currency", |plan| plan["currency"] = json!("yuan")),
        ("zone", |plan| plan["zone"] = json!("Asia/Atlantis")),
        ("version", |plan| plan["version"] = json!([])),
        ("sku[1].id", |plan| {
            plan["sku"] = json!([{"id": "PKG398"}, {"id": "PKG398"}])
        }),
        ("version[0].hold_days", |plan| {
            plan["version"][0]["hold_days"] = json!(367)
        }),
        ("version[0].attribution.window_days", |plan| {
            plan["version"][0]["attribution"]["window_days"] = json!(0);
        }),
        ("version[0].rule", |plan| plan["version"][0]["rule"] = json!([])),
        ("version[0].rule[1].id", |plan| {
            plan["version"][0]["rule"][1]["id"] = json!("R1")
        }),
        ("version[0].rule[0].skus[0]", |plan| {
            plan["version"][0]["rule"][0]["skus"] = json!(["X"])
        }),
        ("version[0].rule[0].rate_ppm", |plan| {
            plan["version"][0]["rule"][0]["rate_ppm"] = json!(1)
        }),
        ("version[0].rule[0].fixed", |plan| {
            plan["version"][0]["rule"][0]["fixed"] = json!(-1)
        }),
        ("version[0].rule[0].base", |plan| {
            plan["version"][0]["rule"][0]["base"] = json!("net_item_paid")
        }),
        ("version[0].rule[1].rate_ppm", |plan| {
            plan["version"][0]["rule"][1]["rate_ppm"] = json!(1_000_001);
        }),
        ("version[0].rule[1].base.net_item_paid_minus", |plan| {
            plan["version"][0]["rule"][1]["base"] = json!({"net_item_paid_minus": ["R2"]});
        }),
    ];
    for (field, edit) in cases {
        assert_eq!(edited(edit).check().unwrap_err().field, field);
    }
    let twice = edited(|plan| {
        let first = plan["version"][0].clone();
        plan["version"].as_array_mut().unwrap().push(first);
    });
    assert_eq!(twice.check().unwrap_err().field, "version[1].effective_from");
}

#[test]
fn the_past_of_a_plan_stays() {
    let now = at("2026-06-01T00:00:00Z");
    let add = |from: &str| {
        edited(|plan| {
            let mut next = plan["version"][0].clone();
            next["effective_from"] = json!(from);
            next["hold_days"] = json!(7);
            plan["version"].as_array_mut().unwrap().push(next);
        })
    };
    assert_eq!(yunji_demo().may_follow(&yunji_demo(), now), Ok(()));
    let next = add("2026-07-01T00:00:00Z");
    assert_eq!(next.may_follow(&yunji_demo(), now), Ok(()));
    assert_eq!(
        yunji_demo().may_follow(&next, now),
        Ok(()),
        "the future may be taken back"
    );

    let field = |draft: PlanDraft| draft.may_follow(&yunji_demo(), now).unwrap_err().field;
    assert_eq!(field(add("2026-05-01T00:00:00Z")), "version[1].effective_from");
    assert_eq!(
        field(edited(|plan| plan["version"][0]["hold_days"] = json!(7))),
        "version[0]"
    );
    assert_eq!(field(edited(|plan| plan["currency"] = json!("JPY"))), "currency");
}
