//! `cargo xtask capture`: makes tests/captures by letting real programs talk.
//!
//! Two network namespaces, a client's and a server's, are joined by a pair of virtual adapters. Each scenario runs its
//! programs while tcpdump records at the client's adapter. No packet leaves the machine, and the namespaces go with the
//! processes that hold them, however the task ends.

mod network;
mod scenario;
mod server;

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result, bail};

use self::{
    network::Network,
    scenario::{SCENARIOS, Scenario},
    server::Servers,
};
use crate::{
    failure::Failed,
    package_install::{self, Need},
    repository::{self, Repository},
    tool,
};

/// What all captures may take together, in bytes.
const MAX_TOTAL_LENGTH: u64 = 2 << 20;

/// Make tests/captures anew, with real programs in network namespaces (needs root).
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Install missing Debian packages without asking.
    #[arg(long, short)]
    yes: bool,
}

/// A file that was made, for the README.
struct Made {
    scenario: &'static Scenario,
    packets: usize,
    length: u64,
}

/// Makes all captures.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !package_install::is_root() {
        bail!(
            "network namespaces need root: run `sudo -E env PATH=\"$PATH:/usr/sbin:/sbin\" cargo xtask capture`"
        );
    }
    package_install::ensure(NEEDS, arguments.yes)?;
    let repository = Repository::open()?;
    let work = repository.target_folder().join("capture");
    repository::create_folder(&work)?;
    let network = Network::create()?;
    let servers = Servers::start(&network, &work)?;
    let mut made = Vec::new();
    for scenario in SCENARIOS {
        eprintln!("capturing {}", scenario.name);
        let capture = work.join(scenario.file_name());
        made.push(record(scenario, &network, &servers, &work, &capture)?);
    }
    let total: u64 = made.iter().map(|made| made.length).sum();
    if total > MAX_TOTAL_LENGTH {
        bail!(Failed(format!(
            "the captures have {total} bytes together, more than {MAX_TOTAL_LENGTH}"
        )));
    }
    // Only a whole set takes the place of the old one.
    let folder = repository.root().join("tests/captures");
    for made in &made {
        let name = made.scenario.file_name();
        let contents = fs::read(work.join(&name)).with_context(|| name.clone())?;
        repository::write_if_changed(&folder.join(&name), contents)?;
    }
    repository::write_if_changed(&folder.join("README.md"), readme(&made))
}

/// Plays one scenario, keeps what was recorded as `capture`, and checks that it holds what it is for.
fn record(
    scenario: &'static Scenario,
    network: &Network,
    servers: &Servers,
    work: &Path,
    capture: &Path,
) -> Result<Made> {
    network.set_offloads(scenario.offloads)?;
    network.forget_neighbours()?;
    let raw = work.join(format!("{}.pcap", scenario.name));
    let recorder = network.record(&raw)?;
    (scenario.play)(network, servers).with_context(|| format!("scenario {}", scenario.name))?;
    recorder.stop()?;
    // tcpdump names no machine in its file, as dumpcap would; editcap makes it pcapng.
    network::output(
        "editcap",
        &[
            "-F".as_ref(),
            "pcapng".as_ref(),
            raw.as_os_str(),
            capture.as_os_str(),
        ],
    )?;
    for (filter, at_least) in scenario.expected {
        let found = count(capture, filter)?;
        if found < *at_least {
            bail!(Failed(format!(
                "{}: {found} packets match `{filter}`, at least {at_least} should",
                scenario.name
            )));
        }
    }
    let wrong = count(
        capture,
        "tcp.checksum.status == 0 || udp.checksum.status == 0",
    )?;
    if scenario.offloads == (wrong == 0) {
        bail!(Failed(format!(
            "{}: {wrong} checksums are left to the adapter",
            scenario.name
        )));
    }
    let length = fs::metadata(capture).context("capture")?.len();
    Ok(Made {
        scenario,
        packets: count(capture, "frame")?,
        length,
    })
}

/// Counts the packets of a capture that match a display filter of Wireshark.
fn count(capture: &Path, filter: &str) -> Result<usize> {
    let checks = [
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "udp.check_checksum:TRUE",
    ];
    let words = [&["-n"], &checks[..], &["-Y", filter, "-r"]].concat();
    let mut words: Vec<_> = words.into_iter().map(AsRef::as_ref).collect();
    words.push(capture.as_os_str());
    Ok(network::output("tshark", &words)?.lines().count())
}

fn readme(made: &[Made]) -> String {
    let mut text = String::from(
        "# Captures

Made by `cargo xtask capture`, which also writes this file: real programs (ping, curl, nginx, dig, dnsmasq) in two
network namespaces joined by a pair of virtual adapters; tcpdump records at the client's. The client is
02:00:00:00:00:01, 10.77.0.1, fd77::1; the server is 02:00:00:00:00:02, 10.77.0.2, fd77::2. Segmentation and checksum
offload are off, except in `coalesced`: there packets longer than the MTU stand for several segments, and checksums are
left to the adapter. Names, addresses and contents are invented; no packet has left the machine.

| file | packets | bytes | what is in it |
|---|---|---|---|
",
    );
    for Made {
        scenario,
        packets,
        length,
    } in made
    {
        let Scenario { what, .. } = scenario;
        let _ = writeln!(
            text,
            "| `{}` | {packets} | {length} | {what} |",
            scenario.file_name()
        );
    }
    text
}

macro_rules! need {
    ($program:literal, $package:literal) => {
        Need {
            what: $program,
            package: $package,
            is_met: || tool::on_path($program).is_some(),
        }
    };
}

const NEEDS: &[Need] = &[
    need!("ip", "iproute2"),
    need!("setpriv", "util-linux"),
    need!("ethtool", "ethtool"),
    need!("tcpdump", "tcpdump"),
    need!("tshark", "tshark"),
    need!("editcap", "wireshark-common"),
    need!("ping", "iputils-ping"),
    need!("curl", "curl"),
    need!("nginx", "nginx-light"),
    need!("openssl", "openssl"),
    need!("dig", "bind9-dnsutils"),
    need!("dnsmasq", "dnsmasq-base"),
    need!("python3", "python3"),
];
