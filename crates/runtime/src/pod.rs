//! What of a Pod object a runtime needs.

use serde_json::Value;
use std::collections::BTreeMap;

/// More containers than this in one pod are refused.
pub const MAX_CONTAINERS: usize = 64;

/// A pod, as far as running it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `spec.serviceAccountName`, `default` where it is empty.
    pub service_account: String,
    /// `spec.hostNetwork`.
    pub host_network: bool,
    /// `spec.containers`, at least one.
    pub containers: Vec<ContainerView>,
}

/// One container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerView {
    /// Its name.
    pub name: String,
    /// Its image, as written.
    pub image: String,
    /// The `containerPort`s, in order.
    pub ports: Vec<u16>,
    /// The environment variables that have a literal value.
    pub env: BTreeMap<String, String>,
    /// What it is to run instead of what its image runs, and with which arguments.
    pub command: Vec<String>,
    /// The arguments.
    pub args: Vec<String>,
    /// The directory that it runs in; empty for the root.
    pub working_directory: String,
    /// Can its main process be written to?
    pub stdin: bool,
    /// Does its input end with the first who was attached?
    pub stdin_once: bool,
    /// Does it have a terminal?
    pub tty: bool,
}

/// An object that is no pod.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a pod: {0} is missing or malformed")]
pub struct MalformedPod(pub &'static str);

impl PodView {
    /// Reads a Pod object.
    ///
    /// # Errors
    /// Where a needed field is missing or has another type.
    pub fn parse(pod: &Value) -> Result<Self, MalformedPod> {
        let text = |pointer: &'static str| {
            let text = pod.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
            text.map(str::to_owned).ok_or(MalformedPod(pointer))
        };
        let flag = |pointer: &'static str, default: bool| match pod.pointer(pointer) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value.as_bool().ok_or(MalformedPod(pointer)),
        };
        let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
        let containers = containers.ok_or(MalformedPod("/spec/containers"))?;
        if containers.is_empty() || containers.len() > MAX_CONTAINERS {
            return Err(MalformedPod("/spec/containers"));
        }
        Ok(Self {
            namespace: text("/metadata/namespace")?,
            name: text("/metadata/name")?,
            uid: text("/metadata/uid")?,
            service_account: text("/spec/serviceAccountName").unwrap_or_else(|_| "default".to_owned()),
            host_network: flag("/spec/hostNetwork", false)?,
            containers: containers.iter().map(ContainerView::parse).collect::<Result<_, _>>()?,
        })
    }
}

impl ContainerView {
    fn parse(container: &Value) -> Result<Self, MalformedPod> {
        let text =
            |field: &str, fault| container[field].as_str().map(str::to_owned).ok_or(MalformedPod(fault));
        let list = |field: &str| container[field].as_array().map(Vec::as_slice).unwrap_or_default();
        let port = |port: &Value| {
            let number = port["containerPort"].as_u64().and_then(|number| u16::try_from(number).ok());
            number.filter(|number| *number != 0).ok_or(MalformedPod("a containerPort"))
        };
        let variable = |variable: &Value| {
            let (name, value) = (variable["name"].as_str()?, variable["value"].as_str()?);
            Some((name.to_owned(), value.to_owned()))
        };
        let words = |field: &str, fault| -> Result<Vec<String>, MalformedPod> {
            let words = list(field).iter().map(|word| word.as_str().map(str::to_owned));
            words.collect::<Option<_>>().ok_or(MalformedPod(fault))
        };
        let flag = |field: &str| container[field].as_bool().unwrap_or(false);
        Ok(Self {
            command: words("command", "a container's command")?,
            args: words("args", "a container's args")?,
            working_directory: container["workingDir"].as_str().unwrap_or_default().to_owned(),
            stdin: flag("stdin"),
            stdin_once: flag("stdinOnce"),
            tty: flag("tty"),
            name: text("name", "a container's name")?,
            image: text("image", "a container's image")?,
            ports: list("ports").iter().map(port).collect::<Result<_, _>>()?,
            env: list("env").iter().filter_map(variable).collect(),
        })
    }

    /// What it is told to run, with the variables that it names (`$(NAME)`); nothing where its image
    /// decides. No image here has an entrypoint, so that `args` alone are a command.
    pub fn argv(&self, env: &BTreeMap<String, String>) -> Vec<String> {
        self.command.iter().chain(&self.args).map(|word| with_variables(word, env)).collect()
    }

    /// The image's name without registry digest and tag: `ravelin.test/http` of
    /// `ravelin.test/http:1.0`.
    pub fn image_name(&self) -> &str {
        let name = self.image.split_once('@').map_or(self.image.as_str(), |(name, _)| name);
        match name.rsplit_once(':') {
            // A colon before the last slash belongs to the registry's port.
            Some((before, tag)) if !tag.contains('/') => before,
            _ => name,
        }
    }
}

/// Puts values in for `$(NAME)`; `$$` is a dollar, and what is not known stays as it is
/// (`third_party/forked/golang/expansion/expand.go`).
fn with_variables(word: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let name = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        match name.and_then(|(name, after)| Some((env.get(name)?, after))) {
            Some((value, after)) => {
                out.push_str(value);
                rest = after;
            }
            None => out.push('$'),
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_variables_as_kubernetes_expands_them() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for (word, expected) in
            [("x$(A)y", "x1y"), ("$(B)", "$(B)"), ("$$(A)", "$(A)"), ("$A", "$A"), ("$", "$"), ("$(A", "$(A")]
        {
            assert_eq!(with_variables(word, &env), expected, "{word}");
        }
    }
}
