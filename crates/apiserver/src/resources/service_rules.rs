//! What a Service must be (`ValidateService` of `pkg/apis/core/validation/validation.go`); pure.

use super::services::{is_external, is_headless, needs_health_check};
use super::{cause, name};
use ravelin_api::Cause;
use ravelin_api::object;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: [&str; 2] = ["Cluster", "Local"];
const AFFINITIES: [&str; 2] = ["ClientIP", "None"];
/// The longest affinity, in seconds (`MaxClientIPServiceAffinitySeconds`).
const MAX_AFFINITY_SECONDS: i64 = 86_400;
const ONLY_FOR_LOAD_BALANCERS: &str = "may only be used when `type` is 'LoadBalancer'";

/// What is wrong with a service whose defaults are filled in, in Kubernetes' order.
pub(super) fn causes(service: &Value) -> Vec<Cause> {
    let mut rules = Rules { service, causes: Vec::new() };
    rules.kind();
    rules.ports();
    rules.selector();
    rules.affinity();
    rules.cluster_addresses();
    rules.external_addresses();
    rules.numbers();
    rules.load_balancer();
    rules.policies();
    rules.causes
}

struct Rules<'a> {
    service: &'a Value,
    causes: Vec<Cause>,
}

impl<'a> Rules<'a> {
    fn text(&self, field: &str) -> &'a str {
        object::text(self.service, field)
    }

    fn of_ports(&self) -> &'a [Value] {
        object::list(self.service, "spec.ports")
    }

    fn invalid(&mut self, field: &str, value: &Value, why: &str) {
        self.causes.push(cause("FieldValueInvalid", field, format!("Invalid value: {value}: {why}")));
    }

    fn required(&mut self, field: &str) {
        self.causes.push(cause("FieldValueRequired", field, "Required value"));
    }

    fn forbidden(&mut self, field: &str, why: &str) {
        self.causes.push(cause("FieldValueForbidden", field, format!("Forbidden: {why}")));
    }

    fn duplicate(&mut self, field: &str, value: &Value) {
        self.causes.push(cause("FieldValueDuplicate", field, format!("Duplicate value: {value}")));
    }

    fn supported(&mut self, field: &str, value: &Value, supported: &[&str]) {
        if value.as_str().is_some_and(|value| supported.contains(&value)) {
            return;
        }
        let all: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", all.join(", "));
        self.causes.push(cause("FieldValueNotSupported", field, message));
    }

    fn kind(&mut self) {
        let kind = self.text("spec.type");
        let headless = is_headless(self.service);
        if self.of_ports().is_empty() && !headless && kind != "ExternalName" {
            self.required("spec.ports");
        }
        match kind {
            "LoadBalancer" | "NodePort" if headless => {
                let why = format!("may not be set to 'None' for {kind} services");
                self.invalid("spec.clusterIPs[0]", &json!("None"), &why);
            }
            "ExternalName" => self.external_name(),
            _ => {}
        }
    }

    fn external_name(&mut self) {
        let why = "may not be set for ExternalName services";
        for field in ["clusterIPs", "ipFamilies"] {
            if !object::list(self.service, &format!("spec.{field}")).is_empty() {
                self.forbidden(&format!("spec.{field}"), why);
            }
        }
        if !self.service["spec"]["ipFamilyPolicy"].is_null() {
            self.forbidden("spec.ipFamilyPolicy", why);
        }
        let given = self.text("spec.externalName");
        let name = given.strip_suffix('.').unwrap_or(given);
        if name.is_empty() {
            self.required("spec.externalName");
        }
        for fault in Some(name).filter(|name| !name.is_empty()).into_iter().flat_map(name::subdomain) {
            self.invalid("spec.externalName", &json!(name), &fault);
        }
    }

    fn ports(&mut self) {
        let ports = self.of_ports();
        let mut names = BTreeSet::new();
        for (i, port) in ports.iter().enumerate() {
            let at = |field: &str| format!("spec.ports[{i}].{field}");
            match object::text(port, "name") {
                "" if ports.len() > 1 => self.required(&at("name")),
                "" => {}
                given => {
                    for fault in name::label(given) {
                        self.invalid(&at("name"), &json!(given), &fault);
                    }
                    if !names.insert(given) {
                        self.duplicate(&at("name"), &json!(given));
                    }
                }
            }
            let number = port.get("port").cloned().unwrap_or_else(|| json!(0));
            if !is_port(&number) {
                self.invalid(&at("port"), &number, "must be between 1 and 65535, inclusive");
            }
            self.supported(&at("protocol"), &port["protocol"], &PROTOCOLS);
            self.target_port(&at("targetPort"), &port["targetPort"]);
            for fault in port["appProtocol"].as_str().into_iter().flat_map(name::qualified) {
                self.invalid(&at("appProtocol"), &port["appProtocol"], &fault);
            }
        }
    }

    /// `ValidatePortNumOrName`.
    fn target_port(&mut self, field: &str, target: &Value) {
        match target {
            Value::String(name) => {
                for fault in port_name_faults(name) {
                    self.invalid(field, target, fault);
                }
            }
            number if !is_port(number) => {
                self.invalid(field, number, "must be between 1 and 65535, inclusive")
            }
            _ => {}
        }
    }

    fn selector(&mut self) {
        let selector = object::strings(object::at(self.service, "spec.selector"));
        for (key, value) in selector {
            for fault in name::qualified(key) {
                self.invalid("spec.selector", &json!(key), &fault);
            }
            for fault in name::label_value(value) {
                self.invalid("spec.selector", &json!(value), &fault);
            }
        }
    }

    fn affinity(&mut self) {
        let spec = &self.service["spec"];
        self.supported("spec.sessionAffinity", &spec["sessionAffinity"], &AFFINITIES);
        let seconds = &spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"];
        let is_good = seconds.as_i64().is_some_and(|seconds| (1..=MAX_AFFINITY_SECONDS).contains(&seconds));
        if spec["sessionAffinity"] == "ClientIP" && !is_good {
            let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
            let why = format!("must be greater than 0 and less than {MAX_AFFINITY_SECONDS}");
            self.invalid(field, seconds, &why);
        }
    }

    /// `ValidateServiceClusterIPsRelatedFields`, of one family.
    fn cluster_addresses(&mut self) {
        if self.text("spec.type") == "ExternalName" {
            return;
        }
        let spec = &self.service["spec"];
        let (first, all) = (self.text("spec.clusterIP"), object::texts(self.service, "spec.clusterIPs"));
        if !first.is_empty() && all.first() != Some(&first) {
            self.invalid("spec.clusterIPs", &spec["clusterIPs"], "first value must match `clusterIP`");
        }
        if first.is_empty() && !all.is_empty() {
            let why = "must be empty when `clusterIP` is not specified";
            self.invalid("spec.clusterIPs", &spec["clusterIPs"], why);
        }
        if !spec["ipFamilyPolicy"].is_null() {
            let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
            self.supported("spec.ipFamilyPolicy", &spec["ipFamilyPolicy"], &policies);
        }
        for (i, family) in object::list(self.service, "spec.ipFamilies").iter().enumerate() {
            self.supported(&format!("spec.ipFamilies[{i}]"), family, &["IPv4", "IPv6"]);
        }
        if all.first() == Some(&"None") && all.len() > 1 {
            self.invalid("spec.clusterIPs", &spec["clusterIPs"], "'None' must be the first and only value");
        }
        for (i, address) in all.iter().enumerate().filter(|(i, address)| *i > 0 || **address != "None") {
            self.address(&format!("spec.clusterIPs[{i}]"), address);
        }
        if all.len() > 2 {
            self.invalid("spec.clusterIPs", &spec["clusterIPs"], "may only hold up to 2 values");
        }
    }

    fn external_addresses(&mut self) {
        for (i, address) in object::texts(self.service, "spec.externalIPs").into_iter().enumerate() {
            let field = format!("spec.externalIPs[{i}]");
            if let Some(ip) = self.address(&field, address) {
                for why in special(ip, address) {
                    self.invalid(&field, &json!(address), &why);
                }
            }
        }
        self.supported("spec.type", &self.service["spec"]["type"], &TYPES);
    }

    /// `IsValidIPForLegacyField`, strict.
    fn address(&mut self, field: &str, text: &str) -> Option<IpAddr> {
        let why = match text.parse::<IpAddr>() {
            Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => "must not be an IPv4-mapped IPv6 address",
            Ok(ip) => return Some(ip),
            Err(_) if has_leading_zeros(text) => "must not have leading 0s",
            Err(_) => "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        };
        self.invalid(field, &json!(text), why);
        None
    }

    fn numbers(&mut self) {
        let ports = self.of_ports();
        let node_port = |port: &Value| port["nodePort"].as_i64().filter(|number| *number != 0);
        if self.text("spec.type") == "ClusterIP" {
            for (i, _) in ports.iter().enumerate().filter(|(_, port)| node_port(port).is_some()) {
                let field = format!("spec.ports[{i}].nodePort");
                self.forbidden(&field, "may not be used when `type` is 'ClusterIP'");
            }
        }
        let mut taken = BTreeSet::new();
        for (i, port) in ports.iter().enumerate() {
            if let Some(number) = node_port(port)
                && !taken.insert((object::text(port, "protocol"), number))
            {
                self.duplicate(&format!("spec.ports[{i}].nodePort"), &json!(number));
            }
        }
        let mut taken = BTreeSet::new();
        for (i, port) in ports.iter().enumerate() {
            let (protocol, number) = (object::text(port, "protocol"), port["port"].as_i64().unwrap_or(0));
            if !taken.insert((protocol, number)) {
                // Upstream shows its internal type, which has no names for JSON, in its own order.
                let shown = format!(
                    "Duplicate value: {{\"Name\":\"\",\"Protocol\":{protocol:?},\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}"
                );
                self.causes.push(cause("FieldValueDuplicate", &format!("spec.ports[{i}]"), shown));
            }
        }
    }

    fn load_balancer(&mut self) {
        if self.text("spec.type") == "LoadBalancer" {
            return;
        }
        if !object::list(self.service, "spec.loadBalancerSourceRanges").is_empty() {
            self.forbidden("spec.LoadBalancerSourceRanges", ONLY_FOR_LOAD_BALANCERS);
        }
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if !self.service["spec"][field].is_null() {
                self.forbidden(&format!("spec.{field}"), ONLY_FOR_LOAD_BALANCERS);
            }
        }
    }

    fn policies(&mut self) {
        let spec = &self.service["spec"];
        let external = &spec["externalTrafficPolicy"];
        if is_external(self.service) {
            self.supported("spec.externalTrafficPolicy", external, &POLICIES);
        } else if !external.is_null() {
            let why = "may only be set for externally-accessible services";
            self.invalid("spec.externalTrafficPolicy", external, why);
        }
        let health = &spec["healthCheckNodePort"];
        if !needs_health_check(self.service) && health.as_i64().is_some_and(|port| port != 0) {
            let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            self.invalid("spec.healthCheckNodePort", health, why);
        }
        if !spec["internalTrafficPolicy"].is_null() {
            self.supported("spec.internalTrafficPolicy", &spec["internalTrafficPolicy"], &POLICIES);
        }
    }
}

fn is_port(number: &Value) -> bool {
    number.as_u64().is_some_and(|number| (1..=65_535).contains(&number))
}

/// `IsValidPortName`.
fn port_name_faults(name: &str) -> Vec<&'static str> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let checks = [
        (name.len() > 15, "must be no more than 15 characters"),
        (
            name.is_empty() || !name.bytes().all(allowed),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (!name.bytes().any(|byte| byte.is_ascii_lowercase()), "must contain at least one letter (a-z)"),
        (name.contains("--"), "must not contain consecutive hyphens"),
        (name.starts_with('-') || name.ends_with('-'), "must not begin or end with a hyphen"),
    ];
    checks.into_iter().filter(|(wrong, _)| *wrong).map(|(_, why)| why).collect()
}

/// Is it an IPv4 address but for zeros at the beginning of numbers?
fn has_leading_zeros(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 4
        && parts.iter().all(|part| {
            let digits = part.trim_start_matches('0');
            !part.is_empty() && (digits.is_empty() || digits.parse::<u8>().is_ok())
        })
}

/// `ValidateNonSpecialIP`.
fn special(ip: IpAddr, shown: &str) -> Vec<String> {
    let (link_local, multicast) = match ip {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    let checks = [
        (ip.is_unspecified(), format!("may not be unspecified ({shown})")),
        (ip.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned()),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned()),
        (multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()),
    ];
    checks.into_iter().filter(|(wrong, _)| *wrong).map(|(_, why)| why).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(spec: Value) -> Vec<String> {
        let mut service = json!({ "metadata": { "name": "s" }, "spec": spec });
        super::super::services::complete(&mut service);
        causes(&service).into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    #[test]
    fn what_is_wrong_with_a_service_is_told_in_kubernetes_words() {
        let good = json!([{ "port": 80 }]);
        let table = [
            (json!({ "ports": good }), vec![]),
            (json!({ "clusterIP": "None" }), vec![]),
            (json!({}), vec!["spec.ports: Required value"]),
            (
                json!({ "type": "NodePort", "clusterIP": "None", "ports": good }),
                vec![
                    r#"spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services"#,
                ],
            ),
            (json!({ "type": "ExternalName", "externalName": "a.example." }), vec![]),
            (json!({ "type": "ExternalName" }), vec!["spec.externalName: Required value"]),
            (
                json!({ "type": "X", "ports": good }),
                vec![
                    r#"spec.type: Unsupported value: "X": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#,
                ],
            ),
            (
                json!({ "ports": [{ "port": 0 }, { "name": "a", "port": 1, "protocol": "TCPX", "targetPort": "a--b" }] }),
                vec![
                    "spec.ports[0].name: Required value",
                    "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                    "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
                    r#"spec.ports[1].protocol: Unsupported value: "TCPX": supported values: "SCTP", "TCP", "UDP""#,
                    r#"spec.ports[1].targetPort: Invalid value: "a--b": must not contain consecutive hyphens"#,
                ],
            ),
            (
                json!({ "ports": [{ "name": "a", "port": 1, "nodePort": 30000 }, { "name": "a", "port": 1 }] }),
                vec![
                    r#"spec.ports[1].name: Duplicate value: "a""#,
                    "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
                    r#"spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":1,"TargetPort":0,"NodePort":0}"#,
                ],
            ),
            (
                json!({ "ports": good, "externalIPs": ["192.0.2.1", "x", "0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "010.0.0.1", "::ffff:1.2.3.4"] }),
                vec![
                    r#"spec.externalIPs[1]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#,
                    r#"spec.externalIPs[2]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)"#,
                    r#"spec.externalIPs[3]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)"#,
                    r#"spec.externalIPs[4]: Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)"#,
                    r#"spec.externalIPs[5]: Invalid value: "224.0.0.1": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"#,
                    r#"spec.externalIPs[6]: Invalid value: "010.0.0.1": must not have leading 0s"#,
                    r#"spec.externalIPs[7]: Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address"#,
                ],
            ),
            (
                json!({ "ports": good, "sessionAffinity": "Cookie", "internalTrafficPolicy": "Near", "externalTrafficPolicy": "Local" }),
                vec![
                    r#"spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None""#,
                    r#"spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services"#,
                    r#"spec.internalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local""#,
                ],
            ),
            (
                json!({ "ports": good, "sessionAffinity": "ClientIP", "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 0 } } }),
                vec![
                    "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400",
                ],
            ),
            (
                json!({ "ports": good, "clusterIPs": ["10.96.0.7"], "allocateLoadBalancerNodePorts": true }),
                vec![
                    r#"spec.clusterIPs: Invalid value: ["10.96.0.7"]: must be empty when `clusterIP` is not specified"#,
                    "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
                ],
            ),
        ];
        for (spec, expected) in table {
            assert_eq!(told(spec.clone()), expected, "{spec}");
        }
    }
}
