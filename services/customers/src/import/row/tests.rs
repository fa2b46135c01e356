//! Rows and headers as files have them: taken in their plain form, or rejected with a remedy.

use proptest::prelude::*;

use super::*;

fn record(fields: &[&[u8]]) -> ByteRecord {
    fields.iter().copied().collect()
}

fn header() -> Header {
    Header::parse(&record(&[
        b"external_id",
        b"name",
        b"phone",
        b"birth_month",
        b"tags",
    ]))
    .unwrap()
}

fn row(fields: [&[u8]; 5]) -> Result<Row, Rejection> {
    header().row(&record(&fields), 7)
}

#[test]
fn columns_come_in_any_order() {
    let header = Header::parse(&record(&[b"\xef\xbb\xbfname", b" tags", b"external_id "])).unwrap();
    let row = header
        .row(&record(&["佐藤 花".as_bytes(), b"vip; mama ;vip;", b"wx-1"]), 2)
        .unwrap();
    assert_eq!((&*row.name, &*row.external_id), ("佐藤 花", "wx-1"));
    assert_eq!(
        row.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(),
        ["mama", "vip"]
    );
    assert_eq!((row.phone, row.birth_month, row.zone), (None, None, None));
}

#[test]
fn a_zone_is_one_of_the_iana_database_or_left_out() {
    let header = Header::parse(&record(&[b"external_id", b"name", b"zone"])).unwrap();
    let zone = |written: &[u8]| {
        header
            .row(&record(&[b"wx-1", b"Li", written]), 2)
            .map(|row| row.zone)
    };
    let kept = zone(b"europe/paris").unwrap();
    assert_eq!(kept.as_ref().map(Zone::as_str), Some("Europe/Paris"));
    assert_eq!(zone(b" ").unwrap(), None);
    let rejected = zone(b"GMT+8").unwrap_err();
    assert_eq!(rejected.field.as_deref(), Some("zone"));
    assert!(!rejected.reason.contains("GMT+8"));
}

#[test]
fn a_header_is_complete_and_known() {
    for (fields, expected) in [
        (&[b"".as_slice()] as &[&[u8]], HeaderError::Empty),
        (&[b"external_id"], HeaderError::Missing("name")),
        (&[b"name", b"phone"], HeaderError::Missing("external_id")),
        (&[b"external_id", b"name", b"e-mail"], HeaderError::Unknown(3)),
        (&[b"external_id", b"name", b"name"], HeaderError::Twice("name")),
    ] {
        assert_eq!(Header::parse(&record(fields)), Err(expected));
    }
}

#[test]
fn a_good_row_is_taken_in_its_plain_form() {
    let row = row([b" wx-1 ", b"Li", b"138 0013 8000", b"1990-02", b""]).unwrap();
    assert_eq!((row.line, &*row.external_id), (7, "wx-1"));
    assert_eq!(row.phone.unwrap().as_str(), "+8613800138000");
    assert_eq!(row.birth_month.as_deref(), Some("1990-02"));
}

#[test]
fn an_e_mail_address_is_taken_or_rejected_without_being_told() {
    let header = Header::parse(&record(&[b"external_id", b"name", b"email"])).unwrap();
    let read = |email: &str| header.row(&record(&[b"wx-1", b"Li", email.as_bytes()]), 3);
    assert_eq!(
        read(" li@Example.CN ").unwrap().email.unwrap().as_str(),
        "li@example.cn"
    );
    assert_eq!(read("").unwrap().email, None);
    let rejected = read("li at example.cn").unwrap_err();
    assert_eq!((rejected.line, rejected.field.as_deref()), (3, Some("email")));
    assert_eq!(rejected.reason, "not of the form name@domain");
}

#[test]
fn a_bad_row_is_rejected_with_field_and_remedy_but_not_the_value() {
    let long = "长".repeat(101);
    let many = (0..21).map(|n| n.to_string()).collect::<Vec<_>>().join(";");
    for (fields, field, reason) in [
        (
            [b"".as_slice(), b"Li", b"", b"", b""],
            "external_id",
            "text is empty",
        ),
        ([b"wx", b" ", b"", b"", b""], "name", "text is empty"),
        (
            [b"wx", long.as_bytes(), b"", b"", b""],
            "name",
            "text has 101 characters",
        ),
        (
            [b"wx", b"\x93\xfa\x96\x7b", b"", b"", b""],
            "name",
            "it has bytes that are not UTF-8",
        ),
        (
            [b"wx", b"Li", b"0901", b"", b""],
            "phone",
            "not a number of Japan or mainland China",
        ),
        (
            [b"wx", b"Li", b"", b"1990", b""],
            "birth_month",
            "it is not a month between 1900-01 and 2099-12",
        ),
        (
            [b"wx", b"Li", b"", b"1990-13", b""],
            "birth_month",
            "it is not a month between 1900-01 and 2099-12",
        ),
        (
            [b"wx", b"Li", b"", b"1990-+1", b""],
            "birth_month",
            "it is not a month between 1900-01 and 2099-12",
        ),
        (
            [b"wx", b"Li", b"", b"", many.as_bytes()],
            "tags",
            "it has 21 tags",
        ),
    ] {
        let rejected = row(fields).unwrap_err();
        assert_eq!((rejected.line, rejected.field.as_deref()), (7, Some(field)));
        assert_eq!(rejected.reason, reason);
        assert!(!rejected.remedy.is_empty());
    }
    let short = header().row(&record(&[b"wx", b"Li"]), 3).unwrap_err();
    assert_eq!(
        (short.field, &*short.reason),
        (None, "it has 2 fields, the first line has 5")
    );
}

#[test]
fn a_person_is_taken_once() {
    let mut census = Census::default();
    let person = |line, id: &str| Row {
        line,
        ..row([id.as_bytes(), b"Li", b"", b"", b""]).unwrap()
    };
    assert!(census.admit(person(2, "wx-1")).is_ok());
    assert!(census.admit(person(3, "wx-2")).is_ok());
    let rejected = census.admit(person(9, "wx-1")).unwrap_err();
    assert_eq!(
        (rejected.line, &*rejected.reason),
        (9, "the same person is on line 2")
    );
}

#[test]
fn a_file_has_only_so_many_tags() {
    let mut census = Census::default();
    for n in 0..TAGS_MAX / 20 {
        let tags = (0..20).map(|m| format!("{n}-{m}")).collect::<Vec<_>>().join(";");
        let id = format!("wx-{n}");
        assert!(
            census
                .admit(row([id.as_bytes(), b"Li", b"", b"", tags.as_bytes()]).unwrap())
                .is_ok()
        );
    }
    assert!(
        census
            .admit(row([b"known", b"Li", b"", b"", b"0-0"]).unwrap())
            .is_ok()
    );
    assert!(
        census
            .admit(row([b"new", b"Li", b"", b"", b"one more"]).unwrap())
            .is_err()
    );
}

proptest! {
    #[test]
    fn no_row_makes_it_panic(fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 5)) {
        let fields: Vec<_> = fields.iter().map(Vec::as_slice).collect();
        let _ = header().row(&record(&fields), 1);
    }
}
