//! The examples of the documentation page, asked of the model itself.

use ravelin_tests::rbac_model::{Binding, Policy, Question, Role, Rule, Subject, User, is_allowed};

#[test]
fn the_model_says_what_the_documentation_shows() {
    let policy = policy();
    let ask = |user: &str, group: &str, resource: &str, namespace: &str, name: &str| {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let user = User { name: user.to_owned(), groups: vec![group.to_owned()] };
        let question = Question::Resource {
            verb: "get".to_owned(),
            group: String::new(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        is_allowed(&policy, &user, &question)
    };
    assert!(ask("jane", "", "pods", "default", "p"));
    assert!(!ask("jane", "", "pods", "kube-system", "p"), "a Role is of its namespace");
    assert!(!ask("Jane", "", "pods", "default", "p"), "names are case sensitive");
    assert!(!ask("jane", "", "pods/log", "default", "p"), "a subresource is not its resource");
    assert!(ask("dave", "", "secrets", "development", "s") && !ask("dave", "", "secrets", "default", "s"));
    assert!(ask("anybody", "manager", "secrets", "anywhere", "s"), "a group, cluster-wide");
    assert!(ask("system:serviceaccount:ns:sa", "", "configmaps", "default", "my-configmap"));
    assert!(!ask("system:serviceaccount:ns:sa", "", "configmaps", "default", ""), "a list names no object");
    assert!(ask("prometheus", "", "pods", "default", "p"), "by aggregation");
}

fn policy() -> Policy {
    let rule = |resources: &[&str], names: &[&str]| Rule {
        verbs: vec!["get".to_owned()],
        groups: vec![String::new()],
        resources: resources.iter().map(|&r| r.to_owned()).collect(),
        names: names.iter().map(|&n| n.to_owned()).collect(),
        paths: Vec::new(),
    };
    let label = ("rbac.example.com/aggregate-to-monitoring".to_owned(), "true".to_owned());
    let role = |namespace: Option<&str>, name: &str, rules: Vec<Rule>| Role {
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        labels: Vec::new(),
        aggregates: None,
        rules,
    };
    let endpoints = Role {
        labels: vec![label.clone()],
        ..role(None, "monitoring-endpoints", vec![rule(&["pods"], &[])])
    };
    let monitoring = Role { aggregates: Some(vec![vec![label]]), ..role(None, "monitoring", Vec::new()) };
    let binding = |namespace: Option<&str>, role: &str, of_cluster_role, subject| Binding {
        namespace: namespace.map(str::to_owned),
        name: "b".to_owned(),
        of_cluster_role,
        role: role.to_owned(),
        subjects: vec![subject],
    };
    Policy {
        roles: vec![
            role(Some("default"), "pod-reader", vec![rule(&["pods"], &[])]),
            role(None, "secret-reader", vec![rule(&["secrets"], &[])]),
            role(Some("default"), "configmap-updater", vec![rule(&["configmaps"], &["my-configmap"])]),
            endpoints,
            monitoring,
        ],
        bindings: vec![
            binding(Some("default"), "pod-reader", false, Subject::User("jane".to_owned())),
            binding(Some("development"), "secret-reader", true, Subject::User("dave".to_owned())),
            binding(None, "secret-reader", true, Subject::Group("manager".to_owned())),
            binding(
                Some("default"),
                "configmap-updater",
                false,
                Subject::ServiceAccount("ns".into(), "sa".into()),
            ),
            binding(None, "monitoring", true, Subject::User("prometheus".to_owned())),
        ],
    }
}
