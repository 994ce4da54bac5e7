//! A command run in a container (`getRun` of `pkg/kubelet/server/server.go`).

use super::answer::{Answer, JSON};
use super::routes::Route;
use crate::state::Shared;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use ravelin_api::{Query, object};
use ravelin_runtime::{RunOutput, RuntimeError};
use ravelin_transport::{Request, collect};

/// A longer form is none.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// Runs what the parameter `cmd` names, split at its spaces.
pub(super) async fn run(shared: &Shared, route: Route<'_>, request: Request) -> Answer {
    let Route::Run { namespace, pod: name, uid, container } = route else { return Answer::not_found() };
    let Some(pod) = shared.pod(namespace, name) else {
        return Answer::text(StatusCode::NOT_FOUND, "pod does not exist");
    };
    let command = command(request).await;
    let argv: Vec<String> = command.split(' ').map(str::to_owned).collect();
    let is_it = uid.is_none_or(|uid| uid == object::uid(&pod));
    let output = match is_it {
        true => shared.config.runtime.run(object::uid(&pod), container, &argv).await,
        false => Err(RuntimeError::NoSuchContainer(container.to_owned())),
    };
    match output {
        // Whatever it is, as upstream says.
        Ok(RunOutput { exit_code: 0, stdout, stderr }) => {
            Answer::of(StatusCode::OK, JSON, [stdout, stderr].concat())
        }
        Ok(RunOutput { exit_code, stderr, .. }) => {
            let complaint = String::from_utf8_lossy(&stderr);
            failed(format!("command '{command}' exited with {exit_code}: {complaint}"))
        }
        Err(error @ RuntimeError::CommandNotStarted(_)) => failed(error.to_string()),
        Err(_) => failed(format!("container not found ({container:?})")),
    }
}

fn failed(text: String) -> Answer {
    Answer::text(StatusCode::INTERNAL_SERVER_ERROR, text)
}

/// The parameter `cmd`: of a form that was posted, else of the query (Go's `FormValue`).
async fn command(request: Request) -> String {
    let in_query = Query::parse(request.uri().query().unwrap_or_default());
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_form = kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let form = if is_form { collect(request.into_body(), MAX_FORM_BYTES).await.ok() } else { None };
    let in_form = form.map(|form| Query::parse(&String::from_utf8_lossy(&form)));
    let command = in_form.as_ref().and_then(|form| form.first("cmd")).or_else(|| in_query.first("cmd"));
    command.unwrap_or_default().to_owned()
}
