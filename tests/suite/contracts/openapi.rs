//! Each service's OpenAPI document, as its program prints it.

use std::process::Command;

use super::accepted;
use crate::isolation::edges::Edges;

#[test]
fn openapi_is_as_accepted() {
    for (name, service) in Edges::load().unwrap().service {
        let program = testkit::build_dir().unwrap().join(&service.binary);
        let output = Command::new(&program).arg("openapi").output();
        let output = output
            .unwrap_or_else(|error| panic!("{}: {error}; `cargo build --workspace`", program.display()));
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        accepted(
            &format!("openapi-{name}"),
            &String::from_utf8(output.stdout).unwrap(),
        );
    }
}
