//! Two namespaces with an adapter each, and programs in them.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::failure::Failed;

/// One end of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Server,
}

/// Name of the adapter in both namespaces.
const ADAPTER: &str = "eth0";

/// Runs what follows so that it is killed when this process ends, in whatever way.
const ENDS_WITH_US: [&str; 3] = ["setpriv", "--pdeathsig", "KILL"];

/// What tcpdump may take to see the last packet, and to be ready for the first.
const SETTLE: Duration = Duration::from_millis(500);

/// The two namespaces. Each lives as long as a process that sleeps in it.
pub(super) struct Network {
    client: Running,
    server: Running,
}

/// A program that is killed when it is no longer needed.
pub(super) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// tcpdump at work.
pub(super) struct Recorder(Running);

impl Network {
    /// Creates the namespaces, the adapters and their addresses.
    pub(super) fn create() -> Result<Self> {
        let network = Self {
            client: namespace()?,
            server: namespace()?,
        };
        let server = network.server.0.id().to_string();
        let pair = [
            "link", "add", ADAPTER, "type", "veth", "peer", "name", ADAPTER, "netns",
        ];
        network.run(End::Client, "ip", &[&pair[..], &[&server]].concat())?;
        for end in [End::Client, End::Server] {
            let host = end.host();
            for arguments in [
                format!("link set {ADAPTER} address 02:00:00:00:00:0{host}"),
                format!("address add 10.77.0.{host}/24 dev {ADAPTER}"),
                format!("address add fd77::{host}/64 dev {ADAPTER} nodad"),
                "link set lo up".to_owned(),
                format!("link set {ADAPTER} up"),
            ] {
                network.ip(end, &arguments)?;
            }
        }
        Ok(network)
    }

    /// Adds an adapter at each end whose packets have VLAN tags, four bytes each in hexadecimal; its addresses are
    /// 10.`net`.0.x. It is there while the result lives.
    pub(super) fn add_vlan(&self, name: &str, tags: &str, net: u8) -> Result<[Running; 2]> {
        let port = |end| -> Result<Running> {
            let program = ["-c", include_str!("vlan_port.py"), ADAPTER, name, tags];
            let port = self.start(end, "python3", &program)?;
            let host = end.host();
            self.retry(|| {
                self.ip(
                    end,
                    &format!("link set {name} address 02:00:00:00:00:0{host}"),
                )
            })?;
            self.ip(end, &format!("address add 10.{net}.0.{host}/24 dev {name}"))?;
            // Room for two tags.
            self.ip(end, &format!("link set {name} mtu 1492 up"))?;
            Ok(port)
        };
        Ok([port(End::Client)?, port(End::Server)?])
    }

    /// Waits until `attempt` succeeds, which takes a program that was just started a moment.
    pub(super) fn retry(&self, attempt: impl Fn() -> Result<()>) -> Result<()> {
        for _ in 0..50 {
            if attempt().is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(100));
        }
        attempt()
    }

    /// Lets the adapters do segmentation and checksums, or not.
    pub(super) fn set_offloads(&self, on: bool) -> Result<()> {
        let state = if on { "on" } else { "off" };
        let names = ["tx", "rx", "sg", "tso", "gso", "gro", "txvlan", "rxvlan"];
        let features = names.iter().flat_map(|name| [*name, state]);
        let words: Vec<_> = ["-K", ADAPTER].into_iter().chain(features).collect();
        for end in [End::Client, End::Server] {
            self.run(end, "ethtool", &words)?;
        }
        Ok(())
    }

    /// Makes both ends ask anew for each other's MAC address.
    pub(super) fn forget_neighbours(&self) -> Result<()> {
        for end in [End::Client, End::Server] {
            self.ip(end, &format!("neighbour flush dev {ADAPTER}"))?;
        }
        Ok(())
    }

    /// Starts to record what passes the client's adapter.
    pub(super) fn record(&self, file: &Path) -> Result<Recorder> {
        let options = [
            "-i",
            ADAPTER,
            "--nano",
            "-U",
            "--immediate-mode",
            "-Z",
            "root",
            "-w",
        ];
        let mut command = self.command(End::Client, "tcpdump", &options);
        let mut child = command
            .arg(file)
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start tcpdump")?;
        let messages = child.stderr.take();
        let recorder = Recorder(Running(child));
        // It says that it listens in its first line, or why it does not.
        let mut line = String::new();
        if let Some(messages) = messages {
            let mut messages = BufReader::new(messages);
            messages.read_line(&mut line).context("tcpdump")?;
            // Somebody has to read what else it says.
            thread::spawn(move || messages.read_to_end(&mut Vec::new()));
        }
        if !line.contains("listening on") {
            bail!(Failed(format!("tcpdump: {}", line.trim())));
        }
        thread::sleep(SETTLE);
        Ok(recorder)
    }

    /// Runs a program to its end and gives what it writes; its failure is an error.
    pub(super) fn run(&self, end: End, program: &str, arguments: &[&str]) -> Result<String> {
        finish(program, &mut self.command(end, program, arguments))
    }

    /// Runs a program to its end that is meant to fail.
    pub(super) fn run_to_fail(&self, end: End, program: &str, arguments: &[&str]) -> Result<()> {
        match finish(program, &mut self.command(end, program, arguments)) {
            Ok(_) => bail!(Failed(format!(
                "{program} {} did not fail",
                arguments.join(" ")
            ))),
            Err(_) => Ok(()),
        }
    }

    /// Starts a program that runs until it is no longer needed.
    pub(super) fn start(&self, end: End, program: &str, arguments: &[&str]) -> Result<Running> {
        let mut command = self.command(end, program, arguments);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        command
            .spawn()
            .map(Running)
            .with_context(|| format!("cannot start {program}"))
    }

    fn ip(&self, end: End, arguments: &str) -> Result<()> {
        let words: Vec<_> = arguments.split(' ').collect();
        self.run(end, "ip", &words).map(|_| ())
    }

    fn command(&self, end: End, program: &str, arguments: &[&str]) -> Command {
        let holder = match end {
            End::Client => &self.client,
            End::Server => &self.server,
        };
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &holder.0.id().to_string()]);
        command.args(ENDS_WITH_US).arg(program).args(arguments);
        command.stdin(Stdio::null());
        command
    }
}

impl End {
    /// Number of the host in its network.
    const fn host(self) -> u8 {
        match self {
            Self::Client => 1,
            Self::Server => 2,
        }
    }
}

impl Recorder {
    /// Ends the recording, once the last packets have come in.
    pub(super) fn stop(self) -> Result<()> {
        thread::sleep(SETTLE);
        let Self(mut running) = self;
        output(
            "kill",
            &["-INT".as_ref(), running.0.id().to_string().as_ref()],
        )?;
        let status = running.0.wait().context("tcpdump")?;
        if !status.success() {
            bail!(Failed(format!("tcpdump: {status}")));
        }
        Ok(())
    }
}

/// A namespace, held by a process that does nothing.
fn namespace() -> Result<Running> {
    let mut command = Command::new("unshare");
    let command = command
        .arg("--net")
        .args(ENDS_WITH_US)
        .args(["sleep", "infinity"]);
    let child = command.spawn().context("cannot start unshare")?;
    let running = Running(child);
    let path = format!("/proc/{}/ns/net", running.0.id());
    let outside = std::fs::read_link("/proc/self/ns/net").context("network namespace")?;
    // The process enters its namespace a moment after it has started.
    for _ in 0..100 {
        if std::fs::read_link(&path).is_ok_and(|inside| inside != outside) {
            return Ok(running);
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("cannot create a network namespace: is this a container without the right to?")
}

/// Runs a program outside the namespaces and gives what it writes; its failure is an error.
pub(super) fn output(program: &str, arguments: &[&OsStr]) -> Result<String> {
    finish(
        program,
        Command::new(program).args(arguments).stdin(Stdio::null()),
    )
}

fn finish(program: &str, command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        let last = message.trim().lines().last().unwrap_or_default();
        bail!(Failed(format!("{program}: {}: {last}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
