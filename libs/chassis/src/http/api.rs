//! How a service declares its HTTP routes: public by name, private otherwise, each in the OpenAPI document.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::get,
};
use http::{HeaderValue, header::CONTENT_LENGTH, header::CONTENT_TYPE};
use http_body_util::Limited;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Content, Info, OpenApi, Ref, Response as ResponseDoc,
        path::{Operation, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    auth::{Verifier, authenticate},
    http::body::Lingering,
    problem::{self, Class, Problem},
};

/// The largest body of an ordinary request.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The largest body of an upload, which streams through.
pub const UPLOAD_BYTES_MAX: usize = 256 * 1024 * 1024;
const REQUEST_SECS_MAX: u64 = 30;
const UPLOAD_SECS_MAX: u64 = 900;
/// Name of the security scheme in the document.
const BEARER: &str = "bearer";

/// A service's HTTP interface. It exists without state or keys, so that its document can be printed.
pub struct Api<S> {
    title: &'static str,
    version: &'static str,
    public: OpenApiRouter<S>,
    private: OpenApiRouter<S>,
    uploads: OpenApiRouter<S>,
}

impl<S: Clone + Send + Sync + 'static> Api<S> {
    /// An interface without routes.
    #[must_use]
    pub fn new(title: &'static str, version: &'static str) -> Self {
        let [public, private, uploads] = std::array::from_fn(|_| OpenApiRouter::default());
        Self {
            title,
            version,
            public,
            private,
            uploads,
        }
    }

    /// Routes that anybody may ask.
    #[must_use]
    pub fn public(mut self, routes: OpenApiRouter<S>) -> Self {
        self.public = self.public.merge(routes);
        self
    }

    /// Routes that need a valid token before any of the handler runs.
    #[must_use]
    pub fn private(mut self, routes: OpenApiRouter<S>) -> Self {
        self.private = self.private.merge(routes);
        self
    }

    /// Private routes whose bodies stream: up to 256 MiB in up to 15 minutes. They take
    /// `axum::body::Body`.
    #[must_use]
    pub fn uploads(mut self, routes: OpenApiRouter<S>) -> Self {
        self.uploads = self.uploads.merge(routes);
        self
    }

    /// The OpenAPI document: every private operation names the token it needs, every operation the
    /// form of its problems.
    #[must_use]
    pub fn document(&self) -> OpenApi {
        let mut document = OpenApi::new(Info::new(self.title, self.version), utoipa::openapi::Paths::new());
        document.merge(self.public.get_openapi().clone());
        for group in [&self.private, &self.uploads] {
            let mut private = group.get_openapi().clone();
            for operation in private.paths.paths.values_mut().flat_map(operations) {
                operation.security = Some(vec![SecurityRequirement::new(BEARER, [""; 0])]);
            }
            document.merge(private);
        }
        for operation in document.paths.paths.values_mut().flat_map(operations) {
            let problem = Content::new(Some(Ref::from_schema_name(problem::Body::name())));
            let answer = ResponseDoc::builder()
                .description("any problem")
                .content("application/problem+json", problem)
                .build();
            operation
                .responses
                .responses
                .entry("default".into())
                .or_insert(answer.into());
        }
        let components = document.components.get_or_insert_default();
        components
            .schemas
            .insert(problem::Body::name().into(), problem::Body::schema());
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
        document
    }

    /// The routes as they are served, with their limits, their doors, and the document.
    ///
    /// # Errors
    /// When the document cannot be written.
    pub fn router(self, state: S, verifier: Verifier) -> anyhow::Result<Router> {
        let document = Bytes::from(self.document().to_pretty_json()?);
        let serve_document = get(async move || ([(CONTENT_TYPE, "application/json")], document));
        let public = limited(self.public.into(), BODY_BYTES_MAX, REQUEST_SECS_MAX)
            .route("/openapi.json", serve_document);
        let private = guarded(
            limited(self.private.into(), BODY_BYTES_MAX, REQUEST_SECS_MAX),
            &verifier,
        );
        let uploads = guarded(
            limited(self.uploads.into(), UPLOAD_BYTES_MAX, UPLOAD_SECS_MAX),
            &verifier,
        );
        Ok(public
            .merge(private)
            .merge(uploads)
            .method_not_allowed_fallback(async || {
                Problem::new(
                    Class::MethodNotAllowed,
                    "method_not_allowed",
                    "this path has other methods",
                )
                .remedy("see the allow header, or /openapi.json")
            })
            .fallback(async || {
                Problem::new(Class::NotFound, "route_unknown", "there is no such path")
                    .remedy("see /openapi.json")
            })
            .with_state(state))
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        put,
        post,
        delete,
        patch,
        head,
        options,
        ..
    } = item;
    [get, put, post, delete, patch, head, options]
        .into_iter()
        .flatten()
}

/// Deny by default: no token, no handler.
fn guarded<S: Clone + Send + Sync + 'static>(router: Router<S>, verifier: &Verifier) -> Router<S> {
    // Axum refuses a layer over no routes.
    if !router.has_routes() {
        return router;
    }
    router.route_layer(from_fn_with_state(verifier.clone(), authenticate))
}

fn limited<S: Clone + Send + Sync + 'static>(router: Router<S>, bytes: usize, secs: u64) -> Router<S> {
    if !router.has_routes() {
        return router;
    }
    router
        .route_layer(DefaultBodyLimit::disable())
        .route_layer(from_fn_with_state(bytes, limit_body))
        .route_layer(from_fn_with_state(Duration::from_secs(secs), limit_time))
}

/// A body is refused by its announced length, or cut off where it exceeds the limit.
async fn limit_body(
    State(bytes_max): State<usize>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let request = request.map(Lingering::new);
    let announced = request.headers().get(CONTENT_LENGTH).and_then(announced);
    if announced.is_some_and(|bytes| bytes > bytes_max as u64) {
        let detail = format!("the body is larger than {bytes_max} bytes");
        return Err(Problem::new(Class::TooLarge, "body_too_large", detail).remedy("send less at once"));
    }
    Ok(next
        .run(request.map(|body| Body::new(Limited::new(body, bytes_max))))
        .await)
}

fn announced(length: &HeaderValue) -> Option<u64> {
    length.to_str().ok()?.parse().ok()
}

async fn limit_time(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    tokio::time::timeout(limit, next.run(request)).await.map_err(|_| {
        let detail = format!("no answer within {} s", limit.as_secs());
        Problem::new(Class::Unavailable, "timed_out", detail)
            .remedy("repeat the request later; with an idempotency key nothing happens twice")
    })
}
