//! Which files are taken, at the start and later, and which addresses go with them.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SerialNumber,
};
use time::{Duration as Span, OffsetDateTime};

use super::*;

/// One who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate that began an hour ago, and its key.
    fn sign(&self, name: &str, ends_in: Span, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        let now = OffsetDateTime::from_unix_timestamp(Clock::system().now().as_second()).unwrap();
        (params.not_before, params.not_after) = (now - Span::hours(1), now + ends_in);
        params.serial_number = Some(SerialNumber::from(7));
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn good(&self) -> (String, String) {
        self.sign("groups", Span::hours(1), ExtendedKeyUsagePurpose::ClientAuth)
    }
}

fn write(folder: &Path, (cert, key): &(String, String), ca: &str) -> TlsSettings {
    std::fs::create_dir_all(folder).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    TlsSettings {
        tls_cert: file("tls.crt", cert),
        tls_key: file("tls.key", key),
        tls_ca: file("ca.crt", ca),
        tls_reload_secs: 1,
    }
}

fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("chassis-tls-{}", uuid::Uuid::now_v7()))
}

fn load(settings: &TlsSettings) -> Result<Option<Tls>, String> {
    Tls::load("groups", settings, Clock::system()).map_err(|error| format!("{error:#}"))
}

#[test]
fn files_that_are_of_no_use_together_are_refused() {
    let (ours, folder) = (Authority::new(), folder());
    let good = ours.good();
    assert!(load(&write(&folder, &good, &ours.pem)).unwrap().is_some());

    let client = ExtendedKeyUsagePurpose::ClientAuth;
    let other_key = (good.0.clone(), ours.good().1);
    let expired = ours.sign("groups", -Span::minutes(1), client.clone());
    let of_another = ours.sign("customers", Span::hours(1), client);
    let for_servers = ours.sign("groups", Span::hours(1), ExtendedKeyUsagePurpose::ServerAuth);
    let text = ("not PEM".to_owned(), good.1.clone());
    let no_key = (good.0.clone(), good.0.clone());
    for (what, files, ca, words) in [
        ("another key", &other_key, ours.pem.as_str(), "KeyMismatch"),
        ("expired", &expired, &ours.pem, "expired"),
        (
            "another service's",
            &of_another,
            &ours.pem,
            "does not name groups",
        ),
        (
            "for servers only",
            &for_servers,
            &ours.pem,
            "invalid peer certificate",
        ),
        (
            "of another authority",
            &good,
            &Authority::new().pem,
            "invalid peer certificate",
        ),
        ("not PEM", &text, &ours.pem, "tls.crt holds no certificate"),
        ("a key that is none", &no_key, &ours.pem, "tls.key is not what"),
        ("no authority", &good, "", "ca.crt holds no certificate"),
    ] {
        let told = load(&write(&folder, files, ca)).map(|_| ()).unwrap_err();
        assert!(told.contains(words), "{what}: {told}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_three_files_go_together() {
    let (ours, folder) = (Authority::new(), folder());
    let all = write(&folder, &ours.good(), &ours.pem);
    let (mut none, mut some, mut missing) = (all.clone(), all.clone(), all);
    (none.tls_cert, none.tls_key, none.tls_ca) = (None, None, None);
    some.tls_key = None;
    missing.tls_ca = Some(folder.join("gone.crt"));
    assert!(load(&none).unwrap().is_none());
    assert!(load(&some).map(|_| ()).unwrap_err().contains("set all or none"));
    assert!(load(&missing).map(|_| ()).unwrap_err().contains("gone.crt"));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn swapped_files_are_taken_up_and_broken_ones_are_not() {
    let (ours, folder) = (Authority::new(), folder());
    let tls = load(&write(&folder, &ours.good(), &ours.pem)).unwrap().unwrap();
    assert!(tls.look().unwrap().is_none(), "nothing has changed");

    let longer = ours.sign("groups", Span::hours(2), ExtendedKeyUsagePurpose::ClientAuth);
    write(&folder, &longer, &ours.pem);
    let before = tls.current().expires_at;
    tls.take_up(tls.look().unwrap().unwrap());
    assert!(tls.current().expires_at > before);

    let half_swapped = (longer.0.clone(), ours.good().1);
    write(&folder, &half_swapped, &ours.pem);
    assert!(tls.look().is_err());
    std::fs::remove_file(folder.join("ca.crt")).unwrap();
    assert!(tls.look().is_err());
    write(&folder, &longer, &ours.pem);
    assert!(tls.look().unwrap().is_none(), "what is in use has come back");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn plain_and_secured_addresses_do_not_mix() {
    let told = |url: &str, is_secured| {
        check_scheme(&url.parse().unwrap(), is_secured).map_err(|error| error.to_string())
    };
    assert_eq!(told("http://customers:9090", false), Ok(()));
    assert_eq!(told("https://customers:9090", true), Ok(()));
    assert!(
        told("http://customers:9090", true)
            .unwrap_err()
            .contains("is plain")
    );
    assert!(
        told("https://customers:9090", false)
            .unwrap_err()
            .contains("needs SHEQUN_TLS_CERT")
    );
    for is_secured in [true, false] {
        assert!(
            told("ftp://customers:9090", is_secured)
                .unwrap_err()
                .contains("neither")
        );
    }
}
