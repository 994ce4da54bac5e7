//! Whose token is this, and who am I (`pkg/registry/authentication`)?

use crate::server::Server;
use crate::{answer, authenticate};
use http::StatusCode;
use ravelin_api::{Status, object, time};
use ravelin_auth::UserInfo;
use ravelin_transport::Response;
use serde_json::{Value, json};

/// Answers a review of either kind.
pub(super) fn answer(server: &Server, user: &UserInfo, mut review: Value) -> Result<Response, Status> {
    match object::kind(&review) {
        "TokenReview" => token_review(server, &mut review)?,
        "SelfSubjectReview" => self_subject_review(server, user, &mut review),
        _ => return Err(Status::no_such_resource()),
    }
    Ok(answer::object(StatusCode::CREATED, &review))
}

/// A user as reviews show it.
fn user_object(user: &UserInfo) -> Value {
    let mut described = json!({});
    for (key, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            described[key] = json!(text);
        }
    }
    if !user.groups.is_empty() {
        described["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        described["extra"] = json!(user.extra);
    }
    described
}

/// Answers a TokenReview: whose the token is, for which of the wanted audiences. Why a token is not
/// good is told, as upstream; whoever may ask is trusted with that.
fn token_review(server: &Server, review: &mut Value) -> Result<(), Status> {
    let token = object::text(review, "spec.token");
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let wanted: Vec<String> =
        object::texts(review, "spec.audiences").into_iter().map(str::to_owned).collect();
    // Upstream puts the token into a header, and reads it from there.
    let status = match authenticate::token(server, token.split(' ').next().unwrap_or_default(), &wanted) {
        Ok(good) => {
            json!({"authenticated": true, "user": user_object(&good.user), "audiences": good.audiences})
        }
        Err(refused) => json!({"user": {}, "error": refused.to_string()}),
    };
    object::metadata_mut(review);
    review["status"] = status;
    Ok(())
}

/// Answers a SelfSubjectReview. Nothing of the question is in the answer.
fn self_subject_review(server: &Server, user: &UserInfo, review: &mut Value) {
    review["metadata"] = json!({"creationTimestamp": time::format(server.host.now())});
    review["status"] = json!({"userInfo": user_object(user)});
    if let Some(members) = review.as_object_mut() {
        members.retain(|name, _| ["kind", "apiVersion", "metadata", "status"].contains(&name.as_str()));
    }
}
