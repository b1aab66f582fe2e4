//! Descriptions of the login and of what tells who one is.

use utoipa::openapi::Content;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};

use super::{ANY, Call, Described, Head, json_of, nothing, of_writer, reference, text, text_of, with_header};
use crate::server::login::Standing;

const TAG: &str = "access";
const HTML: &str = "text/html";
const FORM: &str = "application/x-www-form-urlencoded";

pub(super) fn paths() -> Vec<Described> {
    vec![
        Described::new("/login").get(Head::Answered, show()).post(log_in()),
        Described::new("/logout").post(log_out()),
        Described::new("/api/access").get(Head::Answered, standing()),
    ]
}

fn show() -> Call {
    Call::new("show_login", TAG, "The page on which a person gives a token")
        .answer(200, text_of(HTML, "The page. It needs no script."))
}

fn log_in() -> Call {
    let token = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Object))
        .property("token", text(ANY))
        .required("token")
        .build();
    let refused = nothing("The token is not known. A browser gets the page again.");
    let refused =
        refused.content(super::PROBLEM, Content::new(Some(reference::<wirelab_clients::wire::Problem>())));
    let refused = refused.content(HTML, Content::new(Some(text(ANY))));
    of_writer(Call::new("log_in", TAG, "Give a token and get the cookie that stands for it"))
        .about(
            "The cookie holds no part of the token. Scripts cannot read it, and it is not sent for pages of other sites. It \
             is good for 12 hours, as long as the server knows the token.",
        )
        .body([(FORM, token.into())], "The token.")
        .answer(303, with_cookie(nothing("The token is known; `Location` is the page.")))
        .answer(401, with_header(refused, "WWW-Authenticate", text("^Bearer"), "That a token is wanted."))
        .refused(400, "The form has no field `token`. Also as for every call.")
        .refused(409, "The server has no tokens, so everybody is owner.")
        .refused(413, "The body is larger than allowed.")
        .refused(415, "The body is not a form.")
}

fn log_out() -> Call {
    of_writer(Call::new("log_out", TAG, "Delete the cookie"))
        .answer(303, with_cookie(nothing("The cookie is deleted; `Location` is the page of the login.")))
}

fn standing() -> Call {
    let refused = "The token is not known. A login that is over counts as none.";
    Call::new("show_access", TAG, "What the one who asks may do")
        .answer(200, json_of(reference::<Standing>(), "The role."))
        .refused(401, refused)
}

fn with_cookie(response: utoipa::openapi::ResponseBuilder) -> utoipa::openapi::ResponseBuilder {
    let response = with_header(response, "Location", text("^/"), "Where the browser goes on.");
    with_header(response, "Set-Cookie", text("^wirelab_"), "The cookie.")
}
