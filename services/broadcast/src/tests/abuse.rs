//! S12: receivers that mean harm, or are broken as if they did: bounded in time and bytes, and nobody else waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::scene::Scene;
use super::webhooks::run;

const RECIPIENTS: usize = 9;
const TIMEOUT: Duration = Duration::from_secs(2);
/// What fits into buffers on the way, ours and the system's: far more than is read.
const SENT_BYTES_MAX: usize = 16 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Abuse {
    EndlessBody,
    GzipBomb,
    TricklingBody,
    BrokenBody,
    EndlessHeaders,
    SlowHeaders,
    EarlyHintsForever,
    NeverReading,
    Silent,
    ClosedAtOnce,
    NoHttp,
}

use Abuse::{
    BrokenBody, ClosedAtOnce, EarlyHintsForever, EndlessBody, EndlessHeaders, GzipBomb, NeverReading, NoHttp,
    Silent, SlowHeaders, TricklingBody,
};

/// Abuses whoever comes first, and takes every other call.
#[derive(Default)]
struct Abuser {
    began: OnceLock<Instant>,
    sent_bytes: AtomicUsize,
    /// When the other calls were taken.
    taken: Mutex<Vec<Instant>>,
}

impl Abuser {
    async fn start(abuse: Abuse) -> (Arc<Self>, String) {
        let abuser = Arc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let shared = abuser.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let abuser = shared.clone();
                tokio::spawn(async move {
                    if abuser.began.set(Instant::now()).is_err() {
                        abuser.take_all(stream).await;
                    } else {
                        abuser.abuse(stream, abuse).await;
                    }
                });
            }
        });
        (abuser, url)
    }

    async fn take_all(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while read_call(&mut stream).await.is_some() {
            self.taken.lock().unwrap().push(Instant::now());
            let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
            if stream.get_mut().write_all(answer).await.is_err() {
                return;
            }
        }
    }

    async fn abuse(&self, stream: TcpStream, abuse: Abuse) {
        let mut stream = BufReader::new(stream);
        if abuse == NeverReading {
            return std::future::pending().await;
        }
        read_call(&mut stream).await;
        let ok = "HTTP/1.1 200 OK\r\n";
        match abuse {
            EndlessBody => {
                let chunk = format!("10000\r\n{}\r\n", "x".repeat(65_536));
                self.flood(
                    stream,
                    &format!("{ok}transfer-encoding: chunked\r\n\r\n"),
                    &chunk,
                    Duration::ZERO,
                )
                .await;
            }
            GzipBomb => {
                let head = format!("{ok}content-encoding: gzip\r\ncontent-length: 1000000000\r\n\r\n\u{1f}");
                self.flood(stream, &head, &"\0".repeat(65_536), Duration::ZERO)
                    .await;
            }
            TricklingBody => {
                let head = format!("{ok}content-length: 1000000\r\n\r\n");
                self.flood(stream, &head, "x", Duration::from_millis(20)).await;
            }
            BrokenBody => {
                let _ = stream
                    .get_mut()
                    .write_all(format!("{ok}content-length: 100\r\n\r\nxx").as_bytes())
                    .await;
            }
            EndlessHeaders => {
                let header = format!("x-more: {}\r\n", "x".repeat(1_000));
                self.flood(stream, ok, &header, Duration::ZERO).await;
            }
            SlowHeaders => self.flood(stream, ok, "x", Duration::from_millis(20)).await,
            EarlyHintsForever => {
                let hint = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
                self.flood(stream, "", hint, Duration::from_millis(1)).await;
            }
            NoHttp => drop(stream.get_mut().write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await),
            ClosedAtOnce => {}
            Silent | NeverReading => std::future::pending().await,
        }
    }

    async fn flood(&self, mut stream: BufReader<TcpStream>, head: &str, more: &str, pause: Duration) {
        let stream = stream.get_mut();
        let mut next = head;
        while stream.write_all(next.as_bytes()).await.is_ok() {
            self.sent_bytes.fetch_add(next.len(), Ordering::SeqCst);
            next = more;
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
    }
}

/// Reads one request with its body; none when the connection is over.
async fn read_call(stream: &mut BufReader<TcpStream>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split_once("content-length: ").unwrap().1;
    let length = length.split_once("\r\n").unwrap().0.parse().unwrap();
    stream.read_exact(&mut vec![0; length]).await.ok()?;
    Some(())
}

/// However the first call is abused: everybody is reached, the others at once, and all of it ends.
#[tokio::test]
async fn s12_abusive_receivers_are_bounded_and_keep_nobody_else_waiting() {
    for abuse in [
        EndlessBody,
        GzipBomb,
        TricklingBody,
        BrokenBody,
        EndlessHeaders,
        SlowHeaders,
        EarlyHintsForever,
        NeverReading,
        Silent,
        ClosedAtOnce,
        NoHttp,
    ] {
        let scene = Scene::new(&["--webhook-timeout-secs", &TIMEOUT.as_secs().to_string()]).await;
        scene.audience(RECIPIENTS);
        // All in one chunk: they share a lane with the one that is abused.
        for entry in scene.customers.entries.lock().unwrap().iter_mut() {
            entry.member = scene.members[0];
        }
        let (abuser, url) = Abuser::start(abuse).await;
        let done = run(&scene, &url).await;
        let began = *abuser.began.get().unwrap();
        let took = began.elapsed();
        assert_eq!(done.outcomes.delivered, 9, "{abuse:?}");
        assert!(took < TIMEOUT * 4, "{abuse:?} took {took:?}");
        let sent_bytes = abuser.sent_bytes.load(Ordering::SeqCst);
        assert!(
            sent_bytes < SENT_BYTES_MAX,
            "{abuse:?} got rid of {sent_bytes} bytes"
        );
        let taken = abuser.taken.lock().unwrap();
        let others = taken.iter().filter(|at| **at - began < TIMEOUT).count();
        assert!(
            others >= RECIPIENTS - 1,
            "{abuse:?}: {others} others were reached in time"
        );
    }
}
