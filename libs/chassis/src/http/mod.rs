//! The public face of a service: how routes are declared, what they take, how lists are answered.

mod api;
mod body;
pub(crate) mod client;
mod extract;
mod json;
mod page;
mod url;

pub use self::api::{Api, BODY_BYTES_MAX, UPLOAD_BYTES_MAX};
pub use self::client::Origin;
pub use self::extract::{IdempotencyKey, Json, Keyed};
pub use self::page::{Listing, Page, PageQuery, cursor};
pub use self::url::{Path, Query};

/// Shortens what an error message may quote of a request.
fn bounded(text: &str) -> String {
    const CHARS_MAX: usize = 300;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What serde says of a value, without the value: a refusal is read by others than who sent it.
fn unquoted(text: &str) -> String {
    let quotes = ["invalid type: ", "invalid value: ", "unknown variant "];
    let (Some(opening), Some((said, expected))) = (
        quotes.iter().find(|opening| text.starts_with(**opening)),
        // The last one: the value may say so, too.
        text.rsplit_once(", expected "),
    ) else {
        return text.to_owned();
    };
    let kind = said[opening.len()..].split(['`', '"']).next().unwrap_or_default();
    format!("{}, expected {expected}", format!("{opening}{kind}").trim_end())
}

#[cfg(test)]
mod tests {
    use contracts::ContactId;
    use serde::{Deserialize, Serialize};
    use serde_json::Value;
    use utoipa::ToSchema;
    use utoipa_axum::{router::OpenApiRouter, routes};

    use super::*;
    use crate::problem::Problem;
    use crate::text::Text;

    #[derive(Debug, Serialize, ToSchema)]
    struct Note {
        contact_id: ContactId,
        text: Text<80>,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    struct WriteNote {
        text: Text<80>,
    }

    /// Writes a note about a contact.
    #[utoipa::path(
        post,
        path = "/v1/contacts/{contact_id}/notes",
        params(("contact_id" = ContactId, Path), IdempotencyKey),
        request_body = WriteNote,
        responses((status = 201, body = Note))
    )]
    async fn write_note(
        Path(contact_id): Path<ContactId>,
        asked: Keyed<WriteNote>,
    ) -> Result<Json<Note>, Problem> {
        Ok(Json(Note {
            contact_id,
            text: asked.body.text,
        }))
    }

    /// Lists notes.
    #[utoipa::path(get, path = "/v1/notes", params(PageQuery), responses((status = 200, body = Listing<Note>)))]
    async fn list_notes(Query(query): Query<PageQuery>) -> Result<Json<Listing<Note>>, Problem> {
        let page = query.page::<ContactId>()?;
        Ok(Json(Listing::from_rows(Vec::<Note>::new(), page.limit, |note| {
            note.contact_id
        })))
    }

    #[test]
    fn a_value_is_not_quoted() {
        for (said, told) in [
            (
                "invalid type: string \"a, expected b\", expected u8",
                "invalid type: string, expected u8",
            ),
            (
                "invalid value: integer `256`, expected u8",
                "invalid value: integer, expected u8",
            ),
            (
                "invalid type: map, expected a string",
                "invalid type: map, expected a string",
            ),
            (
                "unknown variant `x`, expected `y` or `z`",
                "unknown variant, expected `y` or `z`",
            ),
            (
                "unknown field `x`, expected `y`",
                "unknown field `x`, expected `y`",
            ),
            (
                "text is empty; give 1 to 8 characters",
                "text is empty; give 1 to 8 characters",
            ),
        ] {
            assert_eq!(unquoted(said), told);
        }
    }

    #[test]
    fn handlers_read_well_in_the_document() {
        let router: OpenApiRouter = OpenApiRouter::new()
            .routes(routes!(write_note))
            .routes(routes!(list_notes));
        let document = serde_json::to_value(router.get_openapi()).unwrap();
        let names = |operation: &Value| -> Vec<String> {
            let names = operation["parameters"].as_array().unwrap().iter();
            names
                .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
                .collect()
        };
        let write = &document["paths"]["/v1/contacts/{contact_id}/notes"]["post"];
        assert_eq!(names(write), ["contact_id", "Idempotency-Key"]);
        assert_eq!(names(&document["paths"]["/v1/notes"]["get"]), ["limit", "cursor"]);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert!(schemas.contains_key("Listing_Note"), "{:?}", schemas.keys());
        assert_eq!(schemas["Text80"]["maxLength"], 80);
        assert_eq!(schemas["WriteNote"]["additionalProperties"], false);
    }
}
