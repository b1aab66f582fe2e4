//! Tokens, cookies and the table of calls, without a server.

use actix_web::http::header::{HeaderName, HeaderValue};

use super::*;

const READER: &str = "wl_reader_0123456789";
const OWNER: &str = "wl_owner_0123456789";
const NOW: Duration = Duration::from_secs(1_800_000_000);

fn access() -> Access {
    let text = format!("# class 7b\n\nreader {READER} all students\n  owner\t{OWNER}\n");
    Access::of_text(&text, "tokens").unwrap()
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn asker(fields: &[(&'static str, &str)]) -> Result<Option<Asker>, Denied> {
    access().asker(&headers(fields), "wirelab", NOW)
}

fn cookie(token: &str, at: Duration) -> String {
    let value = access().tokens().unwrap().log_in(token, at).unwrap();
    format!("other=1; wirelab={value}; last=2")
}

#[test]
fn a_token_gives_its_role_and_nothing_near_it_does() {
    let bearer = |token: &str| asker(&[("authorization", &format!("Bearer {token}"))]);
    assert_eq!(bearer(READER), Ok(Some(Asker::Bearer(Role::Reader))));
    assert_eq!(bearer(OWNER), Ok(Some(Asker::Bearer(Role::Owner))));
    for wrong in ["", "x", &READER[1..], &format!("{READER}x"), &READER.to_uppercase(), "reader"] {
        assert_eq!(bearer(wrong), Err(Denied::UnknownToken), "{wrong:?}");
    }
    assert_eq!(asker(&[]), Ok(None));
    assert_eq!(asker(&[("authorization", "Bearer")]), Err(Denied::Unreadable));
    let twice = format!("bearer {READER}");
    assert_eq!(asker(&[("authorization", &twice), ("authorization", &twice)]), Err(Denied::Unreadable));
    // A proxy's own accounts.
    assert_eq!(asker(&[("authorization", "Basic eDp5")]), Ok(None));
}

#[test]
fn a_login_lasts_for_its_time_and_cannot_be_stretched() {
    let good = cookie(READER, NOW);
    assert_eq!(asker(&[("cookie", &good)]), Ok(Some(Asker::Cookie(Role::Reader))));
    let almost_over = cookie(READER, NOW - LOGIN_LASTS + Duration::from_secs(1));
    assert!(asker(&[("cookie", &almost_over)]).is_ok());
    assert_eq!(asker(&[("cookie", &cookie(READER, NOW - LOGIN_LASTS))]), Err(Denied::UnknownLogin));
    let (until, stretched) = ((NOW + LOGIN_LASTS).as_secs(), (NOW + 2 * LOGIN_LASTS).as_secs());
    let forged = good.replace(&until.to_string(), &stretched.to_string());
    assert_ne!(forged, good);
    assert_eq!(asker(&[("cookie", &forged)]), Err(Denied::UnknownLogin));
    for wrong in ["wirelab=", "wirelab=a.b.c", "wirelab=..", &format!("wirelab={READER}")] {
        assert_eq!(asker(&[("cookie", wrong)]), Err(Denied::UnknownLogin), "{wrong}");
    }
    assert!(!good.contains(READER), "the cookie does not hold the token");
}

#[test]
fn a_wrong_token_is_refused_where_a_cookie_would_do() {
    let (good, wrong) = (cookie(OWNER, NOW), "Bearer wl_wrong_0123456789");
    assert_eq!(asker(&[("cookie", &good), ("authorization", wrong)]), Err(Denied::UnknownToken));
    let reader = format!("Bearer {READER}");
    assert_eq!(
        asker(&[("cookie", &good), ("authorization", &reader)]),
        Ok(Some(Asker::Bearer(Role::Reader)))
    );
}

#[test]
fn a_line_that_is_wrong_is_named_without_its_token() {
    let secret = "wl_secret_of_nobody_else";
    for (text, line, remedy) in [
        (format!("reader {READER}\nadmin {secret}"), 2, "reader, publisher, owner"),
        (secret.to_owned(), 1, "ROLE TOKEN"),
        (format!("\n\n{secret} reader"), 3, "ROLE TOKEN"),
        ("owner".to_owned(), 1, "wirelab token"),
        ("owner short".to_owned(), 1, "5 characters"),
        (format!("owner {secret}\u{e9}"), 1, "letters, digits"),
        (format!("owner {}", secret.repeat(20)), 1, "characters"),
        (format!("owner {secret}\n#\nreader {secret}"), 3, "line 1 has the same"),
    ] {
        let said = Access::of_text(&text, "my tokens").unwrap_err().to_string();
        assert!(said.starts_with(&format!("my tokens, line {line}: ")), "{said}");
        assert!(said.contains(remedy) && !said.contains("secret"), "{said}");
    }
    for empty in ["", "\n# reader x\n"] {
        assert!(Access::of_text(empty, "my tokens").unwrap_err().to_string().contains("no token"));
    }
    let many: String = (0..1_001).map(|n| format!("reader wl_0123456789abcdef_{n}\n")).collect();
    assert!(Access::of_text(&many, "my tokens").unwrap_err().to_string().contains("1000"));
}

#[test]
fn tokens_are_made_at_random_and_shown_by_no_debug() {
    let [one, other] = [Token::make(), Token::make()];
    assert_ne!(one, other);
    assert!(Token::parse(one.secret()).is_ok() && one.secret().len() >= 32);
    let access = access();
    let shown = format!("{one:?} {access:?}");
    assert!(!shown.contains(one.secret()) && !shown.contains("wl_"), "{shown}");
    let of_children = access.of_children().unwrap();
    assert_eq!(access.tokens().unwrap().role_of(of_children.secret()), Some(Role::Reader));
    assert!(Access::Everybody.of_children().is_none());
}

#[test]
fn an_unknown_call_is_in_no_row_and_writes_are_never_for_readers() {
    for unknown in [
        ("GET", "/api/new"),
        ("PATCH", "/api/deployments/k3x9"),
        ("PUT", "/api/deployments/k3x9/lines"),
        ("GET", "/api/deployments//lines"),
        ("GET", "/api/deployments/k3x9/lines/"),
        ("GET", "/api/deployments/k3x9/secrets"),
        ("POST", "/api/deployments/k3x9/sse"),
        ("GET", "/api/lab/new"),
        ("OPTIONS", "/healthz"),
    ] {
        assert_eq!(need(unknown.0, unknown.1), None, "{unknown:?}");
    }
    assert_eq!(need("GET", "/api/deployments/k3x9/sse"), Some(Need::Role(Role::Reader)));
    assert_eq!(need("POST", "/api/deployments/k3x9/lines"), Some(Need::Role(Role::Publisher)));
    assert_eq!(need("DELETE", "/api/deployments/k3x9"), Some(Need::Role(Role::Owner)));
    assert_eq!(need("GET", "/api/lab/results"), Some(Need::Role(Role::Owner)));
}
