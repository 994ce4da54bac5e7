//! Address ranges and names, on which several files must agree.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::gathered::{Gathered, Origin, Place};
use crate::kubeadm::Said;
use crate::model::{
    ApiserverConfig, Component, KubeProxyConfig, KubeletConfig, NetworkConfig, Provenance, Setting,
};
use crate::sheet::Sheet;

pub(super) fn assemble(
    components: (&ApiserverConfig, &KubeletConfig, &KubeProxyConfig),
    read: (&mut Gathered, &mut Provenance),
) -> NetworkConfig {
    let (apiserver, kubelet, proxy) = components;
    let (gathered, provenance) = read;
    let kubeadm = gathered.kubeadm.clone();
    let service_cidr = apiserver.service_cluster_ip_range;
    let subnet =
        kubeadm.service_subnet.as_ref().and_then(|said| range(said, "networking.serviceSubnet", gathered));
    if let (Some(subnet), Some((_, place))) = (subnet, &kubeadm.service_subnet)
        && subnet != service_cidr
    {
        let problem = format!("{subnet} here, but {service_cidr} for kube-apiserver");
        gathered.fail(place, "networking.serviceSubnet", problem, "the same range for both");
    }
    let (pod_cidr, node_cidr_mask_size) =
        pods(&kubeadm.pod_subnet, proxy, (&mut *gathered, &mut *provenance));
    if pod_cidr.contains(&service_cidr) || service_cidr.contains(&pod_cidr) {
        let place = place_of(gathered, Component::Apiserver, "service-cluster-ip-range");
        let problem = format!("{service_cidr} overlaps with the pods' range {pod_cidr}");
        gathered.fail(&place, "--service-cluster-ip-range", problem, "ranges that do not overlap");
    }
    let mut note = |key: &str, said: &Option<Said>| {
        if let Some((value, place)) = said {
            let (file, line) = (place.file.clone(), place.line);
            provenance.settings.push(Setting {
                component: Component::Cluster,
                key: key.into(),
                value: value.clone(),
                file,
                line,
            });
        }
    };
    note("networking.podSubnet", &kubeadm.pod_subnet);
    note("networking.serviceSubnet", &kubeadm.service_subnet);
    note("networking.dnsDomain", &kubeadm.dns_domain);
    note("controlPlaneEndpoint", &kubeadm.endpoint);
    let dns_domain = match (&kubeadm.dns_domain, kubelet.cluster_domain.as_str()) {
        (Some((domain, _)), _) => domain.clone(),
        (None, "") => "cluster.local".to_owned(),
        (None, domain) => domain.to_owned(),
    };
    if let Some((endpoint, _)) = &kubeadm.endpoint {
        gathered.assume(format!(
            "whatever balances the load at {endpoint} passes connections on unopened: simulated as one apiserver"
        ));
    }
    NetworkConfig {
        pod_cidr,
        node_cidr_mask_size,
        service_cidr,
        dns_domain,
        control_plane_endpoint: kubeadm.endpoint.map(|(text, _)| text),
        apiserver_cert_sans: kubeadm.cert_sans,
    }
}

/// The pods' range and the length of a node's part of it.
fn pods(
    subnet: &Option<Said>,
    proxy: &KubeProxyConfig,
    read: (&mut Gathered, &mut Provenance),
) -> (IpNet, u8) {
    let mut sheet = Sheet::new(Component::ControllerManager, read, Vec::new());
    let flag = sheet.given("cluster-cidr");
    let assumed = flag.as_ref().is_none_or(|g| g.origin == Origin::Assumed);
    let of_flag = sheet.net("cluster-cidr");
    let of_file = subnet.as_ref().and_then(|said| range(said, "networking.podSubnet", sheet.gathered));
    if let (Some(flag_net), Some(file_net), Some((_, place)), false) = (of_flag, of_file, subnet, assumed)
        && flag_net != file_net
    {
        let problem = format!("{file_net} here, but {flag_net} for kube-controller-manager");
        sheet.gathered.fail(place, "networking.podSubnet", problem, "the same range for both");
    }
    let said = if assumed { of_file.or(proxy.cluster_cidr) } else { of_flag };
    let pod_cidr = said.unwrap_or_else(|| {
        sheet.gathered.assume("no file says the pods' range: assumed 10.244.0.0/16");
        IpNet::new(IpAddr::V4(Ipv4Addr::new(10, 244, 0, 0)), 16).expect("16 is a prefix length of IPv4")
    });
    let default = if pod_cidr.addr().is_ipv4() { 24 } else { 64 };
    let given = sheet.given("node-cidr-mask-size");
    let size = sheet.number("node-cidr-mask-size").unwrap_or(default);
    let lengths = i64::from(pod_cidr.prefix_len())
        ..=(i64::from(pod_cidr.prefix_len()) + 16).min(i64::from(pod_cidr.max_prefix_len()));
    if !lengths.contains(&size) {
        let place = given.or(flag).map_or_else(super::nowhere, |g| g.place);
        let problem = format!("{size} does not fit the pods' range {pod_cidr}");
        sheet.gathered.fail(
            &place,
            "--node-cidr-mask-size",
            problem,
            format!("{} to {}", lengths.start(), lengths.end()),
        );
    }
    (pod_cidr, u8::try_from(size).unwrap_or(24))
}

/// A range of kubeadm's: the first, if there are two families.
fn range(said: &Said, key: &str, gathered: &mut Gathered) -> Option<IpNet> {
    let (text, place) = said;
    let first = text.split(',').next().unwrap_or(text).trim();
    match first.parse::<IpNet>() {
        Ok(net) => Some(net.trunc()),
        Err(_) => {
            gathered.fail(
                place,
                key,
                format!("{first:?} is not a range"),
                "CIDR notation, such as 10.244.0.0/16",
            );
            None
        }
    }
}

fn place_of(gathered: &Gathered, component: Component, flag: &str) -> Place {
    let given = gathered.given.iter().rfind(|g| g.component == component && g.known.name == flag);
    given.map_or_else(super::nowhere, |g| g.place.clone())
}
