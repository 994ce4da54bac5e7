//! The kubeconfig of a cluster that runs here.

use crate::files::Refused;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_client::Credential;
use ravelin_cluster::{Cluster, Who};
use ravelin_pki::ServerTrust;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The first line of every kubeconfig that is written here: such a file may be replaced.
const MARK: &str = "# Written by `ravelin up`, which removes it when it stops.";

/// A kubeconfig that was written.
pub(crate) struct Kubeconfig {
    path: PathBuf,
    content: String,
}

impl Kubeconfig {
    /// May a kubeconfig be written here? Somebody's own file is not replaced.
    pub(crate) fn may_write(path: &Path) -> Result<(), Refused> {
        let mut beginning = Vec::new();
        let opened = std::fs::File::open(path);
        match opened.and_then(|file| file.take(MARK.len() as u64).read_to_end(&mut beginning)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Ok(_) if beginning == MARK.as_bytes() => Ok(()),
            Ok(_) => Err(Refused::usage(format!(
                "{}: this file exists and is not `ravelin up`'s; name another with --kubeconfig",
                path.display()
            ))),
            Err(error) => Err(cannot(path, &error)),
        }
    }

    /// Writes the administrator's kubeconfig of a cluster whose apiserver listens at `listen`.
    pub(crate) fn write(path: &Path, cluster: &Cluster, listen: SocketAddr) -> Result<Self, Refused> {
        let content = content(cluster, listen)?;
        Self::may_write(path)?;
        let mut beside = path.to_owned().into_os_string();
        beside.push(format!(".{}.new", std::process::id()));
        let beside = PathBuf::from(beside);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        let written = opened.and_then(|mut file| file.write_all(content.as_bytes()));
        written.and_then(|()| std::fs::rename(&beside, path)).map_err(|error| {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(&beside);
            cannot(path, &error)
        })?;
        Ok(Self { path: path.to_owned(), content })
    }

    /// Removes it, unless somebody changed it; says which.
    pub(crate) fn remove(self) -> String {
        let path = self.path.display();
        match std::fs::read(&self.path) {
            Ok(now) if now == self.content.as_bytes() => match std::fs::remove_file(&self.path) {
                Ok(()) => format!("removed {path}"),
                Err(error) => format!("{path} could not be removed: {error}"),
            },
            Ok(_) => format!("left {path}, which was changed"),
            Err(_) => format!("{path} was gone already"),
        }
    }
}

fn cannot(path: &Path, error: &io::Error) -> Refused {
    Refused::usage(format!("{}: a kubeconfig cannot be written here: {error}", path.display()))
}

fn content(cluster: &Cluster, listen: SocketAddr) -> Result<String, Refused> {
    let failed = |why: &str| Refused::failed(format!("no kubeconfig: {why}"));
    let user = cluster.client(Who::User).map_err(|why| failed(&why))?;
    let user = user.ok_or_else(|| failed("the cluster has no administrator"))?;
    let (ServerTrust::Anchors(authority), Credential::Certificate(identity)) =
        (&user.config().trust, &user.config().credential)
    else {
        return Err(failed("the administrator has no certificate"));
    };
    // Every address is here, and only this one is in the certificate.
    let ip = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    let server = SocketAddr::new(ip, listen.port());
    let encoded = |text: &str| STANDARD.encode(text);
    Ok(format!(
        "{MARK}\n\
         apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: ravelin\n  cluster:\n    server: https://{server}\n    certificate-authority-data: {}\n\
         users:\n\
         - name: kubernetes-admin\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n\
         contexts:\n\
         - name: ravelin\n  context:\n    cluster: ravelin\n    user: kubernetes-admin\n\
         current-context: ravelin\n",
        encoded(&authority.to_pem()),
        encoded(&identity.chain_pem()),
        encoded(&identity.key_pem()),
    ))
}
