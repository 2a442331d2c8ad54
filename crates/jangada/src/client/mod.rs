//! The client's side: a connection (`wire`), HTTP for the few administrative questions (`http`), who asks (`login`, and what is typed for that, `password`), a
//! conversation with a cluster (`session`), the words a person types (`words`), and the prompt (`prompt`).

pub mod http;
pub mod login;
pub mod password;
pub mod prompt;
pub mod session;
pub mod wire;
pub mod words;
