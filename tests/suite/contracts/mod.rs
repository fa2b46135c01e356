//! What others rely on: the protobuf contracts and the OpenAPI documents, as they were accepted last.

mod events;
mod growth;
mod openapi;
mod proto;

/// Compares with the accepted text under `snapshots/`.
fn accepted(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
        .set_description("a contract changed: if that is meant, `make generate ONLY=contracts` accepts it");
    settings.bind(|| insta::assert_snapshot!(name, text));
}
