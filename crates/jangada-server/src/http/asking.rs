//! Asking another member over HTTP, at the address where its clients connect.

use std::io::ErrorKind;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends a request and returns what is answered, at most so many bytes. It waits as long as it takes.
///
/// # Errors
/// A sentence about why there is no answer.
pub(crate) async fn send(
    address: &str,
    request: Request<Body>,
    most_bytes: usize,
) -> Result<(StatusCode, String), String> {
    let say = |why: &dyn std::fmt::Display| why.to_string();
    let stream = TcpStream::connect(address).await.map_err(|why| match why.kind() {
        ErrorKind::ConnectionRefused => format!("nobody listens at {address}"),
        _ => say(&why),
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|why| say(&why))?;
    // It ends with its sender.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|why| say(&why))?;
    let status = answer.status();
    let bytes = to_bytes(Body::new(answer.into_body()), most_bytes).await.map_err(|why| say(&why))?;
    Ok((status, String::from_utf8(bytes.into()).map_err(|why| say(&why))?))
}
