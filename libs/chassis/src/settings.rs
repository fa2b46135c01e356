//! What may vary between two processes of the same service: one flag and one environment variable each.

use std::{net::SocketAddr, path::PathBuf};

use clap::builder::TypedValueParser as _;
use secrecy::SecretString;
use url::Url;

/// The settings every service has. Each has a default good enough to parse, so that `migrate` and
/// `openapi` need only what they use.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Postgres as the role that runs, which owns nothing: postgres://customers:…@host:5432/shequn
    #[arg(long, env = "SHEQUN_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<SecretString>,

    /// Postgres as the role that owns the schema; only `migrate` takes it
    #[arg(
        long,
        env = "SHEQUN_OWNER_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub owner_database_url: Option<SecretString>,

    /// Connections to Postgres that one process keeps at most
    #[arg(
        long,
        env = "SHEQUN_POOL_CONNECTIONS_MAX",
        default_value_t = 10,
        value_name = "COUNT"
    )]
    pub pool_connections_max: u32,

    /// NATS with JetStream
    #[arg(
        long,
        env = "SHEQUN_NATS_URL",
        default_value = "nats://127.0.0.1:4222",
        value_name = "URL"
    )]
    pub nats_url: Url,

    /// The service's user at NATS
    #[arg(long, env = "SHEQUN_NATS_USER", value_name = "NAME")]
    pub nats_user: Option<String>,

    /// The password of that user
    #[arg(
        long,
        env = "SHEQUN_NATS_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD"
    )]
    pub nats_password: Option<SecretString>,

    /// Servers that keep a copy of each stream the service creates; one that is there stays as it is
    #[arg(long, env = "SHEQUN_STREAM_REPLICAS", default_value_t = 1, value_name = "COUNT",
          value_parser = clap::builder::PossibleValuesParser::new(["1", "3", "5"]).try_map(|count| count.parse::<usize>()))]
    pub stream_replicas: usize,

    /// Where the public API listens; port 0 takes a free one and logs it
    #[arg(
        long,
        env = "SHEQUN_HTTP_LISTEN",
        default_value = "127.0.0.1:0",
        value_name = "ADDRESS"
    )]
    pub http_listen: SocketAddr,

    /// Where peers call over gRPC
    #[arg(
        long,
        env = "SHEQUN_GRPC_LISTEN",
        default_value = "127.0.0.1:0",
        value_name = "ADDRESS"
    )]
    pub grpc_listen: SocketAddr,

    /// Where health and metrics are; keep it inside the cluster
    #[arg(
        long,
        env = "SHEQUN_OPS_LISTEN",
        default_value = "127.0.0.1:0",
        value_name = "ADDRESS"
    )]
    pub ops_listen: SocketAddr,

    #[command(flatten)]
    pub tls: TlsSettings,

    /// Seconds after which a peer's connection is ended, its calls in flight excepted, so that callers spread over the
    /// replicas there are by then
    #[arg(
        long,
        env = "SHEQUN_GRPC_CONNECTION_SECS_MAX",
        default_value_t = 300,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub grpc_connection_secs_max: u64,

    /// The service's own Ed25519 key (PKCS#8 PEM), which signs its service tokens
    #[arg(
        long,
        env = "SHEQUN_SIGNING_KEY",
        default_value = "signing-key.pem",
        value_name = "PATH"
    )]
    pub signing_key: PathBuf,

    /// The public keys of all services, as a JSON Web Key Set whose keys name their issuer
    #[arg(
        long,
        env = "SHEQUN_PEER_KEYS",
        default_value = "peer-keys.json",
        value_name = "PATH"
    )]
    pub peer_keys: PathBuf,

    /// Where identity publishes the keys of its members' tokens; with TLS, the https address of its gRPC listener
    #[arg(
        long,
        env = "SHEQUN_IDENTITY_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub identity_url: Url,

    /// Seconds after SIGTERM in which the API is still served, until those who balance over replicas have noticed
    #[arg(long, env = "SHEQUN_LEAVE_SECS", default_value_t = 0, value_name = "SECONDS")]
    pub leave_secs: u64,

    /// Seconds that requests and loops in flight get to finish after that
    #[arg(long, env = "SHEQUN_DRAIN_SECS", default_value_t = 20, value_name = "SECONDS")]
    pub drain_secs: u64,

    /// Which log lines are written: a level, or directives such as `info,sqlx=debug`
    #[arg(long, env = "SHEQUN_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,

    /// Where traces go, over OTLP gRPC; without it they are not exported
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<Url>,

    /// Conveniences for development, such as gRPC reflection
    #[arg(long, env = "SHEQUN_DEV", value_parser = clap::builder::FalseyValueParser::new())]
    pub dev: bool,
}

/// With all three files gRPC speaks TLS only, in and out; with none it is plain.
#[derive(Clone, Debug, clap::Args)]
pub struct TlsSettings {
    /// The service's certificate (PEM), which names it; peers are shown it
    #[arg(long, env = "SHEQUN_TLS_CERT", value_name = "PATH")]
    pub tls_cert: Option<PathBuf>,

    /// The private key of that certificate (PEM)
    #[arg(long, env = "SHEQUN_TLS_KEY", value_name = "PATH")]
    pub tls_key: Option<PathBuf>,

    /// The authorities (PEM) whose certificates of peers are believed
    #[arg(long, env = "SHEQUN_TLS_CA", value_name = "PATH")]
    pub tls_ca: Option<PathBuf>,

    /// Seconds between two looks at these files, which may be swapped at any time
    #[arg(long, env = "SHEQUN_TLS_RELOAD_SECS", default_value_t = 30, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub tls_reload_secs: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn nothing_is_required_to_parse() {
        let settings = Command::try_parse_from(["service"]).unwrap().settings;
        assert_eq!(settings.drain_secs, 20);
        assert_eq!(settings.http_listen.port(), 0);
    }

    #[test]
    fn a_stream_has_a_majority_of_copies() {
        for (count, is_one) in [("1", true), ("2", false), ("3", true), ("5", true), ("0", false)] {
            let settings = Command::try_parse_from(["service", "--stream-replicas", count]);
            let replicas = settings
                .ok()
                .map(|command| command.settings.stream_replicas.to_string());
            assert_eq!(
                replicas.is_some_and(|replicas| replicas == count),
                is_one,
                "{count}"
            );
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let args = [
            "service",
            "--database-url",
            "postgres://customers:hunter2@db/shequn",
        ];
        let settings = Command::try_parse_from(args).unwrap().settings;
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
