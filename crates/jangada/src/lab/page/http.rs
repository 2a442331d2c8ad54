//! Serves the page: the files, a stream of what happens, and lines that are typed there.
//!
//! | request | answer |
//! |---|---|
//! | `GET /?token=…` | the page |
//! | `GET /page.css`, `GET /*.js` | its files, which are no secret |
//! | `GET /events?token=…` | server-sent events; `Last-Event-ID` goes on where it was interrupted |
//! | `GET /picture.svg?token=…` | all that happened, as `timeline to FILE.svg` would save it |
//! | `POST /line?token=…` | `{"line": "crash leader"}`: what became of it |
//! | `POST /complete?token=…` | `{"line": "crash le"}`: the words that its last one may become |
//! | `POST /play?token=…` | `{"ns": 20000000}`: time passes in a made-up world |

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, body::Bytes};
use futures_util::stream::{self, Stream};
use jangada_trace::language::Language;
use jangada_trace::say;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use super::super::timeline;
use super::Door;
use super::assets::{self, Asset};
use super::door::{self, Refusal, Token};
use super::feed::{Feed, Place};
use super::hand::{self, Hand, Touch};

/// Between two looks at what is new: quick enough for the eye.
const LOOK_AGAIN: Duration = Duration::from_millis(40);
/// So many looks without news, and the browser is told what time it is: then it knows that nothing is late.
const IDLE_TICKS: u32 = 25;
/// Browsers that look at the same time.
const MAX_READERS: usize = 16;
/// Lines that wait to be carried out.
const MAX_LINES: usize = 16;
/// Longest request.
const MAX_BODY: usize = 64 << 10;

/// What everything on the page may load: only itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct Page {
    port: u16,
    token: Token,
    feed: Arc<Feed>,
    language: Language,
    hand: Hand,
    readers: Arc<Semaphore>,
    lines: Arc<Semaphore>,
}

/// Serves the page on a thread of its own, for as long as the process lives.
///
/// # Errors
/// The system gives no thread or no event queue: a sentence.
pub fn serve(door: Door, hand: Hand) -> Result<(), String> {
    let language = door.language;
    let failed = |why: std::io::Error| say!(language, "no page: {why}", why);
    let port = door.listener.local_addr().map_err(failed)?.port();
    let page = Page {
        port,
        token: door.token,
        feed: door.feed,
        language,
        hand,
        readers: Arc::new(Semaphore::new(MAX_READERS)),
        lines: Arc::new(Semaphore::new(MAX_LINES)),
    };
    door.listener.set_nonblocking(true).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_LINES)
        .build()
        .map_err(failed)?;
    let router = router(Arc::new(page));
    let serve = move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(door.listener);
            let listener = listener.expect("the runtime drives sockets");
            // It ends with the process.
            let _never = axum::serve(listener, router).await;
        });
    };
    std::thread::Builder::new().name("page".to_owned()).spawn(serve).map(|_| ()).map_err(failed)
}

fn router(page: Arc<Page>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/events", get(events))
        .route("/picture.svg", get(picture))
        .route("/line", post(line))
        .route("/complete", post(complete))
        .route("/play", post(play))
        .fallback(file)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&page), guard))
        .with_state(page)
}

/// Who asks for this machine by a foreign name is turned away; all answers forbid what the page does not need.
async fn guard(State(page): State<Arc<Page>>, request: Request, next: Next) -> Response {
    let mut response = match door::check_host(request.headers(), page.port) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn index(State(page): State<Arc<Page>>, uri: Uri) -> Result<Response, Refusal> {
    door::check_token(&uri, &page.token)?;
    Ok(answer(&assets::served(page.language)[0]))
}

async fn file(State(page): State<Arc<Page>>, uri: Uri) -> Response {
    match assets::named(page.language, uri.path().trim_start_matches('/')) {
        // The page itself wants the token.
        Some(asset) if asset.name != assets::served(page.language)[0].name => answer(asset),
        _ => (StatusCode::NOT_FOUND, "no such page\n").into_response(),
    }
}

fn answer(asset: &'static Asset) -> Response {
    ([(header::CONTENT_TYPE, asset.content_type)], asset.text).into_response()
}

async fn events(
    State(page): State<Arc<Page>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    door::check_token(&uri, &page.token)?;
    let permit = Arc::clone(&page.readers).try_acquire_owned();
    let permit = permit.map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "too many browsers look\n"))?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let ticks = tokio::time::interval(LOOK_AGAIN);
    let looking = (page.feed.reader(), Place::behind(last), ticks, permit);
    // A browser that does not read is not asked for more: its place falls behind, and it begins anew.
    let news = stream::unfold(looking, |(reader, mut place, mut ticks, permit)| async move {
        let mut news = None;
        for _ in 0..IDLE_TICKS {
            ticks.tick().await;
            news = reader.news(&mut place);
            if news.is_some() {
                break;
            }
        }
        let news = news.unwrap_or_else(|| reader.pulse(&place));
        let event = Event::default().id(news.id).data(news.data);
        Some((Ok(event), (reader, place, ticks, permit)))
    });
    Ok(Sse::new(news).keep_alive(KeepAlive::default()))
}

async fn picture(State(page): State<Arc<Page>>, uri: Uri) -> Result<Response, Refusal> {
    door::check_token(&uri, &page.token)?;
    let permit = Arc::clone(&page.lines).try_acquire_owned();
    let permit = permit.map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "too many lines wait already\n"))?;
    let (records, language) = (page.feed.recorded(), page.language);
    let painted = tokio::task::spawn_blocking(move || {
        let picture = timeline::picture(language, records);
        drop(permit);
        picture
    });
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"jangada.svg\""),
    ];
    match painted.await {
        Ok(picture) => Ok((headers, picture).into_response()),
        Err(_) => Err((StatusCode::INTERNAL_SERVER_ERROR, "a bug: see the terminal\n")),
    }
}

#[derive(Deserialize)]
struct Line {
    line: String,
}

#[derive(Deserialize)]
struct Play {
    ns: u64,
}

async fn line(
    State(page): State<Arc<Page>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let Line { line } = understood(&page, &uri, &headers, &body)?;
    if line.contains(['\n', '\r']) {
        return Err((StatusCode::BAD_REQUEST, "one line at a time\n"));
    }
    touch(&page, Touch::Line(line)).await
}

async fn complete(
    State(page): State<Arc<Page>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let Line { line } = understood(&page, &uri, &headers, &body)?;
    Ok(Json(json!({ "words": hand::complete(&line) })).into_response())
}

async fn play(
    State(page): State<Arc<Page>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let Play { ns } = understood(&page, &uri, &headers, &body)?;
    // No more at a time than is soon computed.
    let time = Duration::from_nanos(ns).min(Duration::from_secs(2));
    touch(&page, Touch::Play(time)).await
}

fn understood<T: for<'de> Deserialize<'de>>(
    page: &Page,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<T, Refusal> {
    door::check_origin(headers)?;
    door::check_token(uri, &page.token)?;
    serde_json::from_slice(body).map_err(|_| (StatusCode::BAD_REQUEST, "this is not what is expected\n"))
}

async fn touch(page: &Page, touch: Touch) -> Result<Response, Refusal> {
    let permit = Arc::clone(&page.lines).try_acquire_owned();
    let permit = permit.map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "too many lines wait already\n"))?;
    let hand = Arc::clone(&page.hand);
    let done = tokio::task::spawn_blocking(move || {
        let outcome = hand(touch);
        drop(permit);
        outcome
    });
    match done.await {
        Ok(outcome) => Ok(Json(json!({ "outcome": outcome })).into_response()),
        Err(_) => Err((StatusCode::INTERNAL_SERVER_ERROR, "a bug: see the terminal\n")),
    }
}
