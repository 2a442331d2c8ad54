//! Panics, with their words and their place.
//!
//! What `catch_unwind` hands over does not say where the panic was; only the process's hook is told. Ours notes it for the
//! thread, and lets the hook that was there before have its say, unless it was asked to be quiet.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// What the last panic of this thread said, and where it was.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Does something. If it panics, the error is what was said, and where: `index 3 is gone (src/log.rs:17)`.
pub(crate) fn catch<T>(attempt: impl FnOnce() -> T) -> Result<T, String> {
    listen();
    LAST.with_borrow_mut(Option::take);
    catch_unwind(AssertUnwindSafe(attempt)).map_err(|_| {
        let said = LAST.with_borrow_mut(Option::take);
        said.unwrap_or_else(|| "without words".to_owned())
    })
}

/// Does something without a word on stderr about panics in it, as they were told of once.
pub fn quietly<T>(attempt: impl FnOnce() -> T) -> T {
    listen();
    let before = QUIET.replace(true);
    let done = attempt();
    QUIET.set(before);
    done
}

fn listen() {
    static LISTENS: Once = Once::new();
    LISTENS.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            let words = panic.payload_as_str().unwrap_or("without words");
            let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
            let said = format!("{words}{}", place.unwrap_or_default());
            LAST.with_borrow_mut(|last| *last = Some(said));
            if !QUIET.get() {
                before(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_says_what_and_where() {
        let gone = 3;
        let line = line!() + 1;
        let said = quietly(|| catch(|| assert!(gone < 3, "index {gone} is gone")));
        let said = said.expect_err("it is gone");
        assert!(
            said.starts_with("index 3 is gone (") && said.ends_with(&format!("panics.rs:{line})")),
            "{said}"
        );
        assert_eq!(catch(|| 8), Ok(8));
    }
}
