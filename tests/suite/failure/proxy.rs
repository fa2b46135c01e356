//! A TCP proxy between a process and a server, for faults of the network: cut, half open, slow, resetting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use testkit::Dice;

const BUFFER_BYTES: usize = 16 * 1024;

/// What it does with whatever comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Line {
    Through,
    /// Nothing comes through and nobody is told: packets are lost until it is healed.
    Silent,
    /// Everything comes later by this much, and this share of what is written resets the connection.
    Bad {
        delay: Duration,
        reset_share: f64,
    },
}

pub(crate) struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    target: watch::Sender<SocketAddr>,
    cuts: watch::Sender<u64>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    pub(crate) async fn open(target: SocketAddr, seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (line, seen) = watch::channel(Line::Through);
        let (target, aim) = watch::channel(target);
        let (cuts, cut) = watch::channel(0);
        let task = tokio::spawn(serve(listener, aim, seen, cut, Arc::new(Dice::new(seed))));
        Ok(Self {
            address,
            line,
            target,
            cuts,
            _task: AbortOnDropHandle::new(task),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// Resets what goes through it now; newcomers get through.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
        self.set(Line::Through);
    }

    /// Newcomers go there from now on.
    pub(crate) fn aim(&self, target: SocketAddr) {
        self.target.send_replace(target);
    }
}

async fn serve(
    listener: TcpListener,
    aim: watch::Receiver<SocketAddr>,
    line: watch::Receiver<Line>,
    cut: watch::Receiver<u64>,
    dice: Arc<Dice>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let (target, line, dice) = (*aim.borrow(), line.clone(), Arc::clone(&dice));
        let mut cut = cut.clone();
        cut.mark_unchanged();
        tokio::spawn(async move {
            // What goes wrong is told by what the two sides see.
            let _ = join(client, target, line, cut, &dice).await;
        });
    }
}

async fn join(
    mut client: TcpStream,
    target: SocketAddr,
    line: watch::Receiver<Line>,
    mut cut: watch::Receiver<u64>,
    dice: &Dice,
) -> anyhow::Result<()> {
    let mut silent = line.clone();
    silent.wait_for(|line| *line != Line::Silent).await?;
    let mut server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let is_reset = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both = async {
            tokio::try_join!(
                pump(from_client, to_server, line.clone(), dice),
                pump(from_server, to_client, line.clone(), dice)
            )
        };
        tokio::select! {
            ended = both => ended.is_err(),
            _ = cut.changed() => true,
        }
    };
    if is_reset {
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    Ok(())
}

/// One direction, until its end; an error resets both.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut line: watch::Receiver<Line>,
    dice: &Dice,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let bytes = from.read(&mut buffer).await?;
        let now = *line.wait_for(|line| *line != Line::Silent).await?;
        if let Line::Bad { delay, reset_share } = now {
            anyhow::ensure!(dice.share() >= reset_share, "reset");
            tokio::time::sleep(delay).await;
        }
        if bytes == 0 {
            return Ok(to.shutdown().await?);
        }
        to.write_all(&buffer[..bytes]).await?;
    }
}

#[tokio::test]
async fn what_is_silent_comes_through_once_it_is_healed_and_what_is_cut_is_reset() -> anyhow::Result<()> {
    let server = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = Proxy::open(server.local_addr()?, 1).await?;
    let mut client = TcpStream::connect(proxy.address()).await?;
    let (mut accepted, _) = server.accept().await?;
    client.write_all(b"one").await?;
    let mut word = [0; 3];
    accepted.read_exact(&mut word).await?;
    anyhow::ensure!(&word == b"one");

    proxy.set(Line::Silent);
    client.write_all(b"two").await?;
    let silence = tokio::time::timeout(Duration::from_millis(100), accepted.read_exact(&mut word)).await;
    anyhow::ensure!(silence.is_err(), "something came through");
    proxy.set(Line::Through);
    accepted.read_exact(&mut word).await?;
    anyhow::ensure!(&word == b"two");

    proxy.cut();
    anyhow::ensure!(accepted.read(&mut word).await.is_err(), "it was not reset");
    Ok(())
}
