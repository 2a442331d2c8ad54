//! Which web pages may send a request that changes something: only one that this server itself has served,
//! under an address that cannot be claimed by anybody else.
//!
//! A browser names the page's origin in every request of this kind; a program names none, and passes. A page of
//! `http://evil.example` whose name suddenly points to this machine ("DNS rebinding") is of the same origin as
//! the server in the browser's eyes, so equality of names alone proves nothing: the name must also be a plain
//! address, `localhost`, or the one that the operator gave this server.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

/// Refuses the request of a foreign page, with the reason.
pub(crate) fn check(headers: &HeaderMap, client_addr: &str) -> Result<(), &'static str> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).ok_or("no Host header")?;
    let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
    if origin != Some(host) {
        return Err("a page of another origin may not change this cluster");
    }
    if is_own(host, client_addr) {
        Ok(())
    } else {
        Err("a page may change this cluster only under the server's own address")
    }
}

/// Whether the request names this server in a way that no foreign name server can claim.
pub(crate) fn names_us(headers: &HeaderMap, client_addr: &str) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| is_own(host, client_addr))
}

/// Refuses to let a browser read under a name that somebody else may own. A browser names no origin when a page reads
/// from where it came from, so it is known by what no browser leaves out; programs pass, under whatever name. A page of
/// another site may not even have the answer brought into its process, where it could not read it by right.
pub(crate) fn check_reader(headers: &HeaderMap, client_addr: &str) -> Result<(), &'static str> {
    let is_browser = ["accept-language", "sec-fetch-site", "sec-fetch-mode"]
        .iter()
        .any(|name| headers.contains_key(*name));
    if is_browser && !names_us(headers, client_addr) {
        return Err("a browser is shown keys under the server's own address alone");
    }
    if headers.get("sec-fetch-site").is_some_and(|site| site.as_bytes() == b"cross-site") {
        return Err("a page of another site may not read keys");
    }
    Ok(())
}

fn is_own(host: &str, client_addr: &str) -> bool {
    let name = without_port(host);
    let own = name.eq_ignore_ascii_case(without_port(client_addr));
    own || name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// The name or address of `host[:port]`, without the brackets of IPv6.
fn without_port(host: &str) -> &str {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_reads_under_our_own_names_alone() {
        let read = |host: &str, browser: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if browser {
                headers.insert("accept-language", "pt-BR".parse().unwrap());
            }
            check_reader(&headers, "db1.example:2379").is_ok()
        };
        assert!(read("127.0.0.1:2379", true) && read("db1.example:2379", true));
        assert!(!read("evil.example:2379", true));
        assert!(read("jangada.default.svc:2379", false), "a program under any name");
    }

    #[test]
    fn a_page_of_another_site_reads_nothing() {
        for (site, allowed) in [("none", true), ("same-origin", true), ("cross-site", false)] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "127.0.0.1:2379".parse().unwrap());
            headers.insert("sec-fetch-site", site.parse().unwrap());
            assert_eq!(check_reader(&headers, "127.0.0.1:2379").is_ok(), allowed, "{site}");
        }
    }

    fn allowed(origin: Option<&str>, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        check(&headers, "db1.example:2379").is_ok()
    }

    #[test]
    fn only_own_pages_pass() {
        assert!(allowed(None, "anything:1"));
        assert!(allowed(Some("http://127.0.0.1:2379"), "127.0.0.1:2379"));
        assert!(allowed(Some("http://localhost:2379"), "localhost:2379"));
        assert!(allowed(Some("http://[::1]:2379"), "[::1]:2379"));
        assert!(allowed(Some("http://db1.example:2379"), "db1.example:2379"));
        assert!(!allowed(Some("http://evil.example"), "127.0.0.1:2379"));
        assert!(!allowed(Some("http://evil.example:2379"), "evil.example:2379"));
        assert!(!allowed(Some("https://127.0.0.1:2379"), "127.0.0.1:2379"));
        assert!(!allowed(Some("null"), "127.0.0.1:2379"));
    }
}
