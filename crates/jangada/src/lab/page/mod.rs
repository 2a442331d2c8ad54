//! The laboratory in a browser: the same servers, the same language, and a picture of what they do.
//!
//! `eye.rs` looks at the servers from the session's thread, `feed.rs` keeps what there is to show (a ring: whoever is
//! too slow begins anew), `http.rs` shows it on 127.0.0.1 to whoever has the token, and takes lines from there.
//! The page itself is `crates/jangada/web`, embedded as it stands; `assets.rs` has it.

pub mod assets; // the files
mod markup; // pages in the language of those who look
mod script; // scripts, lean and in their language
mod door; // who may come in
mod eye; // looks at the servers
mod feed; // what there is to show
mod hand; // does what is done on the page
mod http; // shows it
mod portrait; // one server as it is shown

pub use eye::Eye;
pub use feed::Feed;
pub use hand::hand;
pub use http::serve;
pub use portrait::Portrait;

use std::net::TcpListener;
use std::sync::Arc;

use jangada_trace::language::Language;
use jangada_trace::say;

/// Where a laboratory's page will be served.
pub struct Door {
    /// Already bound; connections wait until somebody serves.
    pub listener: TcpListener,
    /// What there is to show.
    pub feed: Arc<Feed>,
    /// Whoever has it may come in.
    pub token: door::Token,
    /// What the page speaks.
    pub language: Language,
}

impl Door {
    /// A page for this listener, in this language.
    ///
    /// # Errors
    /// The system gives no randomness, or no second handle: a sentence.
    pub fn new(listener: &TcpListener, feed: Arc<Feed>, language: Language) -> Result<Door, String> {
        let listener = listener.try_clone().map_err(|why| say!(language, "no page: {why}", why))?;
        Ok(Door { listener, feed, token: door::Token::new()?, language })
    }

    /// What to open in a browser.
    pub fn url(&self) -> String {
        let port = self.listener.local_addr().map(|address| address.port()).unwrap_or_default();
        format!("http://127.0.0.1:{port}/?token={}", self.token.text())
    }
}
