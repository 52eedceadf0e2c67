//! What is captured: one scenario per file.

use anyhow::Result;

use super::{
    network::{End::Client, Network},
    server::{HOST, Servers},
};

/// Programs that talk, and what is then in the capture.
pub(super) struct Scenario {
    /// Name of the file, without its ending.
    pub(super) name: &'static str,
    /// What is in it, for the README.
    pub(super) what: &'static str,
    /// Whether segmentation and checksums are left to the adapter.
    pub(super) offloads: bool,
    /// Lets the programs talk.
    pub(super) play: fn(&Network, &Servers) -> Result<()>,
    /// Display filters, each with the number of packets that match it at least.
    pub(super) expected: &'static [(&'static str, usize)],
}

impl Scenario {
    pub(super) fn file_name(&self) -> String {
        format!("{}.pcapng", self.name)
    }
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "ping",
        what: "`ping` and `ping -6`, with the ARP and neighbour discovery before them",
        offloads: false,
        play: |network, _| {
            network.run(Client, "ping", &["-c", "5", "-i", "0.2", "10.77.0.2"])?;
            network.run(Client, "ping", &["-6", "-c", "5", "-i", "0.2", "fd77::2"])?;
            Ok(())
        },
        expected: &[
            ("arp", 2),
            ("icmp.type == 0", 5),
            ("icmpv6.type == 129", 5),
            ("icmpv6.type == 136", 1),
        ],
    },
    Scenario {
        name: "http1",
        what: "`curl` over HTTP/1.1, IPv4 and IPv6, two requests per connection",
        offloads: false,
        play: |network, _| {
            for url in ["http://10.77.0.2/", "http://[fd77::2]/"] {
                curl(network, &["--http1.1", url, url])?;
            }
            Ok(())
        },
        expected: &[
            ("http.response.code == 200", 4),
            ("tcp.flags.fin == 1", 4),
            ("ipv6 && tcp", 8),
        ],
    },
    Scenario {
        name: "http2",
        what: "`curl` over HTTP/2 without TLS, IPv4 and IPv6",
        offloads: false,
        play: |network, _| {
            for url in ["http://10.77.0.2:8080/", "http://[fd77::2]:8080/"] {
                curl(network, &["--http2-prior-knowledge", url])?;
            }
            Ok(())
        },
        expected: &[("http2.headers.status == 200", 2)],
    },
    Scenario {
        name: "tls13",
        what: "`curl` over HTTP/2 in TLS 1.3, with server name and ALPN",
        offloads: false,
        play: |network, servers| {
            let certificate = servers.certificate.to_string_lossy();
            let url = format!("https://{HOST}/");
            for address in ["10.77.0.2", "[fd77::2]"] {
                let resolve = format!("{HOST}:443:{address}");
                curl(
                    network,
                    &[
                        "--http2",
                        "--cacert",
                        &certificate,
                        "--resolve",
                        &resolve,
                        &url,
                    ],
                )?;
            }
            Ok(())
        },
        expected: &[
            (
                "tls.handshake.extensions_server_name == \"deferlwf.test\"",
                2,
            ),
            (
                "tls.handshake.type == 2 && tls.handshake.extensions.supported_version == 0x0304",
                2,
            ),
        ],
    },
    Scenario {
        name: "dns",
        what: "`dig` over UDP and TCP, IPv4 and IPv6: answers, a name that does not exist, an answer cut short over UDP \
               and repeated over TCP",
        offloads: false,
        play: |network, _| {
            for server in ["@10.77.0.2", "@fd77::2"] {
                for query in [
                    &[HOST, "A"][..],
                    &[HOST, "AAAA"],
                    &["nowhere.test", "A"],
                    &["+tcp", HOST, "A"],
                    &["+bufsize=1232", "long.test", "TXT"],
                ] {
                    dig(network, server, query)?;
                }
            }
            Ok(())
        },
        expected: &[
            ("udp && dns.flags.response == 1", 8),
            ("tcp && dns.flags.response == 1", 4),
            ("dns.flags.rcode == 3", 2),
            ("udp && dns.flags.truncated == 1", 2),
        ],
    },
    Scenario {
        name: "large",
        what: "200000 bytes down and 200000 bytes up, by `curl`",
        offloads: false,
        play: transfer,
        expected: &[("tcp.len > 1400", 250)],
    },
    Scenario {
        name: "vlan",
        what: "`ping` and `curl` with an 802.1Q tag (VLAN 100), `ping` with a second one (VLAN 101) in an 802.1ad tag \
               (VLAN 102), and beside them `ping` without any",
        offloads: false,
        play: |network, _| {
            let _tagged = network.add_vlan("tagged", "81000064", 100)?;
            let _stacked = network.add_vlan("stacked", "88a8006681000065", 101)?;
            for address in ["10.100.0.2", "10.101.0.2", "10.77.0.2"] {
                network.run(Client, "ping", &["-c", "3", "-i", "0.2", address])?;
            }
            curl(network, &["http://10.100.0.2/"])
        },
        expected: &[
            ("vlan.id == 100 && tcp", 8),
            ("vlan.id == 101 && icmp && ieee8021ad.id == 102", 6),
            ("icmp && !vlan && !ieee8021ad", 6),
        ],
    },
    Scenario {
        name: "fragments",
        what: "`ping` with 4000 bytes and DNS answers of 3 kB over UDP, IPv4 and IPv6, in fragments",
        offloads: false,
        play: |network, _| {
            network.run(Client, "ping", &["-c", "2", "-s", "4000", "10.77.0.2"])?;
            network.run(Client, "ping", &["-6", "-c", "2", "-s", "4000", "fd77::2"])?;
            for server in ["@10.77.0.2", "@fd77::2"] {
                dig(
                    network,
                    server,
                    &["+bufsize=4096", "+ignore", "long.test", "TXT"],
                )?;
            }
            Ok(())
        },
        expected: &[
            ("ip.frag_offset > 0", 9),
            ("ipv6.fraghdr.offset > 0", 9),
            ("ip.proto == 17 && ip.flags.mf == 1", 1),
        ],
    },
    Scenario {
        name: "closed_port",
        what: "connections to a closed TCP port, twice from the same port; datagrams to a closed UDP port, answered by \
               ICMP errors; IPv4 and IPv6",
        offloads: false,
        play: |network, _| {
            for (url, server) in [
                ("http://10.77.0.2:9/", "@10.77.0.2"),
                ("http://[fd77::2]:9/", "@fd77::2"),
            ] {
                for _ in 0..2 {
                    network.run_to_fail(
                        Client,
                        "curl",
                        &["--silent", "--local-port", "40000", url],
                    )?;
                }
                let once = [server, "-p", "9", "+tries=1", "+time=1", HOST];
                network.run_to_fail(Client, "dig", &once)?;
            }
            Ok(())
        },
        expected: &[
            ("tcp.flags.reset == 1", 4),
            ("icmp.type == 3 && icmp.code == 3", 1),
            ("icmpv6.type == 1 && icmpv6.code == 4", 1),
        ],
    },
    Scenario {
        name: "coalesced",
        what: "200000 bytes down and 200000 bytes up, by `curl`, with segmentation and checksums left to the adapter, \
               and a few `dig` queries",
        offloads: true,
        play: |network, servers| {
            transfer(network, servers)?;
            dig(network, "@10.77.0.2", &[HOST, "A"])?;
            dig(network, "@fd77::2", &[HOST, "AAAA"])
        },
        expected: &[("frame.len > 1514", 10)],
    },
];

fn curl(network: &Network, arguments: &[&str]) -> Result<()> {
    let common = ["--silent", "--show-error", "--fail", "--max-time", "20"];
    network.run(Client, "curl", &[&common[..], arguments].concat())?;
    Ok(())
}

fn dig(network: &Network, server: &str, arguments: &[&str]) -> Result<()> {
    network.run(
        Client,
        "dig",
        &[&[server, "+time=2", "+tries=1"], arguments].concat(),
    )?;
    Ok(())
}

fn transfer(network: &Network, servers: &Servers) -> Result<()> {
    curl(network, &["http://10.77.0.2/large"])?;
    let large = servers.large.to_string_lossy();
    curl(
        network,
        &["--upload-file", &large, "http://10.77.0.2/upload"],
    )
}
