//! `--token-auth-file`: static users. Their tokens are passed over: they are secrets, and a simulation
//! has its own.

use crate::model::StaticUser;

/// The users of a token file (staging/src/k8s.io/apiserver/pkg/authentication/token/tokenfile/tokenfile.go): token,
/// name, uid and, quoted, groups. `None` for what is no such file.
pub(crate) fn users(text: &str) -> Option<Vec<StaticUser>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(user).collect::<Option<Vec<_>>>().filter(|users| !users.is_empty())
}

fn user(line: &str) -> Option<StaticUser> {
    let columns = columns(line)?;
    let [token, name, uid, groups @ ..] = columns.as_slice() else { return None };
    let is_token =
        !token.is_empty() && token.chars().all(|c| c.is_ascii_alphanumeric() || "-._~+/=".contains(c));
    // A line of flags or of variables is none.
    let other = token.starts_with("--") || token.split_once('=').is_some_and(|(_, value)| !value.is_empty());
    let groups = groups.iter().flat_map(|all| all.split(',')).map(str::trim);
    (is_token && !other && !name.is_empty()).then(|| StaticUser {
        name: name.clone(),
        uid: uid.clone(),
        groups: groups.filter(|group| !group.is_empty()).map(str::to_owned).collect(),
    })
}

/// The columns of a line of CSV; `None` where a quote is left open.
fn columns(line: &str) -> Option<Vec<String>> {
    let mut columns = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => columns.push(String::new()),
            c => columns.last_mut()?.push(c),
        }
    }
    (!quoted).then(|| columns.into_iter().map(|column| column.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::users;

    #[test]
    fn users_are_read_without_their_tokens() {
        let read =
            users("02b5.t-k,kubelet-bootstrap,10001,\"system:bootstrappers,b\"\n\nx,jane,1\n").expect("two");
        let groups: Vec<_> = read.iter().map(|user| (user.name.as_str(), user.groups.len())).collect();
        assert_eq!(groups, [("kubelet-bootstrap", 2), ("jane", 0)]);
        assert!(!format!("{read:?}").contains("02b5"));
        for other in
            ["", "a: 1\n", "kube-apiserver --a=b,c,d\n", "--a=b,c,d\n", "A=b,c,d\n", "a,b\n", "t,\"n,u\n"]
        {
            assert_eq!(users(other), None, "{other:?}");
        }
    }
}
