//! The servers that the scenarios talk to: nginx and dnsmasq, in the server's namespace.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::network::{self, End, Network, Running};
use crate::repository;

/// Name under which the web server has its certificate.
pub(super) const HOST: &str = "deferlwf.test";

/// Bytes of the file `/large` and of what is sent to `/upload`.
const LARGE_LENGTH: usize = 200_000;

/// The servers, while they run.
pub(super) struct Servers {
    _nginx: Running,
    _dnsmasq: Running,
    /// The web server's certificate, which signs itself.
    pub(super) certificate: PathBuf,
    /// A file to send.
    pub(super) large: PathBuf,
}

impl Servers {
    /// Starts the servers, with their files in `work`, and waits until they answer.
    pub(super) fn start(network: &Network, work: &Path) -> Result<Self> {
        let pages = work.join("pages");
        repository::create_folder(&pages)?;
        // Every byte of a block differs from its neighbours, so that segments can be told apart by eye.
        let large: Vec<u8> = (0..LARGE_LENGTH).map(|at| (at ^ (at >> 8)) as u8).collect();
        for (name, contents) in [("large", &large[..]), ("index.html", b"<p>deferlwf</p>\n")] {
            repository::write_if_changed(&pages.join(name), contents)?;
        }
        let certificate = certificate(work)?;
        let configuration = work.join("nginx.conf");
        fs::write(&configuration, nginx_configuration(work)).context("nginx.conf")?;
        let configuration = configuration.to_string_lossy().into_owned();
        let nginx = network.start(
            End::Server,
            "nginx",
            &["-e", "stderr", "-c", &configuration],
        )?;
        let options = dnsmasq_options();
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let dnsmasq = network.start(End::Server, "dnsmasq", &options)?;
        let servers = Self {
            _nginx: nginx,
            _dnsmasq: dnsmasq,
            certificate,
            large: pages.join("large"),
        };
        servers.wait(network)?;
        Ok(servers)
    }

    fn wait(&self, network: &Network) -> Result<()> {
        let url = "http://10.77.0.2/";
        let web = || {
            network.run(
                End::Client,
                "curl",
                &["--silent", "--fail", "--max-time", "2", url],
            )
        };
        let names = || {
            network.run(
                End::Client,
                "dig",
                &["@10.77.0.2", "+time=1", "+tries=1", HOST],
            )
        };
        network
            .retry(|| web().and_then(|_| names()).map(|_| ()))
            .context("the servers do not answer")
    }
}

fn certificate(work: &Path) -> Result<PathBuf> {
    let (key, certificate) = (work.join("key.pem"), work.join("certificate.pem"));
    let (subject, name) = (format!("/CN={HOST}"), format!("subjectAltName=DNS:{HOST}"));
    let request = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ];
    let contents = ["-nodes", "-days", "2", "-subj", &subject, "-addext", &name];
    let mut words: Vec<&OsStr> = request.iter().chain(&contents).map(AsRef::as_ref).collect();
    words.extend([
        "-keyout".as_ref(),
        key.as_os_str(),
        "-out".as_ref(),
        certificate.as_os_str(),
    ]);
    network::output("openssl", &words)?;
    Ok(certificate)
}

fn nginx_configuration(work: &Path) -> String {
    let work = work.display();
    format!(
        "daemon off; master_process off; error_log stderr; pid \"{work}/nginx.pid\";
events {{}}
http {{
    access_log off; root \"{work}/pages\"; client_max_body_size 10m;
    client_body_temp_path \"{work}/body\"; proxy_temp_path \"{work}/proxy\"; fastcgi_temp_path \"{work}/fastcgi\";
    uwsgi_temp_path \"{work}/uwsgi\"; scgi_temp_path \"{work}/scgi\";
    server {{ listen 80; listen [::]:80; location /upload {{ return 204; }} }}
    server {{ listen 8080 http2; listen [::]:8080 http2; }}
    server {{
        listen 443 ssl http2; listen [::]:443 ssl http2; ssl_protocols TLSv1.3;
        ssl_certificate \"{work}/certificate.pem\"; ssl_certificate_key \"{work}/key.pem\";
    }}
}}
"
    )
}

/// Answers for the zone `test` only, from here; `long.test` has an answer that takes several packets.
fn dnsmasq_options() -> Vec<String> {
    let fixed = [
        "--no-daemon",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--edns-packet-max=4096",
        "--local=/test/",
        "--host-record=deferlwf.test,10.77.0.2,fd77::2",
    ];
    let text = ["0123456789abcdef"; 15].concat();
    let long = format!("--txt-record=long.test,{}", [text.as_str(); 12].join(","));
    fixed.into_iter().map(str::to_owned).chain([long]).collect()
}
