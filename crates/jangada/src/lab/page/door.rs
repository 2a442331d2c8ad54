//! Who may come in: whoever has the token, under a name of this machine that no name server can claim.
//!
//! The page can do to the servers whatever the prompt can. Other pages of the same browser can send requests here, too,
//! so all of them are checked: the `Host` must be 127.0.0.1 or localhost with our port (a name that somebody points at
//! this machine is not), a request that does something must come from our own page (`Origin`), and everything but the
//! files wants the token, which only the terminal has shown.

use std::fs::File;
use std::io::Read;

use axum::http::{HeaderMap, StatusCode, Uri, header};

/// A secret of 128 bits that is made anew for each laboratory.
pub struct Token(String);

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no randomness: a sentence.
    pub fn new() -> Result<Token, String> {
        let mut bytes = [0; 16];
        let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
        read.map_err(|why| format!("no randomness for the page's token: {why}"))?;
        Ok(Token(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// As it stands in the address.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether this is it, in the same time whatever is wrong with it.
    fn is(&self, other: &str) -> bool {
        let different = self.0.bytes().zip(other.bytes()).fold(0, |different, (a, b)| different | (a ^ b));
        other.len() == self.0.len() && different == 0
    }
}

/// Why somebody may not come in.
pub type Refusal = (StatusCode, &'static str);

/// The request names this machine by an address, or by `localhost`.
///
/// # Errors
/// It does not.
pub fn check_host(headers: &HeaderMap, port: u16) -> Result<(), Refusal> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let ours = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    if ours.iter().any(|ours| ours == host) {
        Ok(())
    } else {
        Err((StatusCode::FORBIDDEN, "this page is found at http://127.0.0.1 alone"))
    }
}

/// The request was sent by our own page.
///
/// # Errors
/// It was not, or does not say so.
pub fn check_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
    if origin.is_none() || origin != text(header::HOST) {
        return Err((StatusCode::FORBIDDEN, "only the laboratory's own page may do something"));
    }
    let kind = text(header::CONTENT_TYPE).and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/json") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "it must be declared as application/json"));
    }
    Ok(())
}

/// The token stands in the address.
///
/// # Errors
/// It does not, or it is another one.
pub fn check_token(uri: &Uri, token: &Token) -> Result<(), Refusal> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let given = pairs.filter_map(|pair| pair.strip_prefix("token=")).next().unwrap_or_default();
    if token.is(given) {
        Ok(())
    } else {
        let why = "the token is missing, or is that of another laboratory: open the address that the \
                   terminal shows\n";
        Err((StatusCode::FORBIDDEN, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_name_that_points_here_is_not_this_machine() {
        for (host, ok) in [
            ("127.0.0.1:3000", true),
            ("localhost:3000", true),
            ("127.0.0.1:3020", false),
            ("127.0.0.1", false),
            ("evil.example:3000", false),
            ("127.0.0.1.evil.example:3000", false),
        ] {
            assert_eq!(check_host(&headers(&[(header::HOST, host)]), 3_000).is_ok(), ok, "{host}");
        }
        assert!(check_host(&HeaderMap::new(), 3_000).is_err());
    }

    #[test]
    fn only_our_own_page_does_something() {
        let check = |origin: &str, kind: &str| {
            let host = (header::HOST, "127.0.0.1:3000");
            check_origin(&headers(&[host, (header::ORIGIN, origin), (header::CONTENT_TYPE, kind)]))
        };
        let json = "application/json";
        assert!(check("http://127.0.0.1:3000", json).is_ok());
        assert!(check("http://127.0.0.1:3000", "application/json; charset=utf-8").is_ok());
        for origin in ["http://localhost:3000", "http://evil.example", "https://127.0.0.1:3000", "null"] {
            assert_eq!(check(origin, json).unwrap_err().0, StatusCode::FORBIDDEN, "{origin}");
        }
        let form = check("http://127.0.0.1:3000", "text/plain");
        assert_eq!(form.unwrap_err().0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(check_origin(&headers(&[(header::HOST, "127.0.0.1:3000")])).is_err(), "no Origin at all");
    }

    #[test]
    fn a_token_is_needed_and_no_two_are_alike() {
        let (token, other) = (Token::new().unwrap(), Token::new().unwrap());
        let check = |query: &str| check_token(&query.parse().unwrap(), &token).is_ok();
        assert_eq!(token.text().len(), 32);
        assert!(check(&format!("/?token={}", token.text())));
        assert!(check(&format!("/events?a=b&token={}", token.text())));
        for wrong in ["", &token.text()[..31], other.text(), &format!("{}0", token.text())] {
            assert!(!check(&format!("/?token={wrong}")), "{wrong}");
        }
        assert!(!check("/"));
    }
}
