//! Who asks, where servers want to know: `JANGADA_USER`, as `NAME:PASSWORD`, or `NAME` with `JANGADA_PASSWORD`.

use std::env;
use std::fmt;
use std::time::Instant;

use serde_json::{Value, json};

use super::http::{self, HttpError};

/// A user and its password, which is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub name: String,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Login {
    /// Whom the environment names, if anybody.
    pub fn of_environment() -> Option<Login> {
        let user = env::var("JANGADA_USER").ok().filter(|user| !user.is_empty())?;
        Some(Login::of(&user, env::var("JANGADA_PASSWORD").ok()))
    }

    /// Whom this names: `NAME:PASSWORD`, or `NAME` and the password by itself.
    pub fn of(user: &str, password: Option<String>) -> Login {
        match user.split_once(':') {
            Some((name, password)) => Login { name: name.to_owned(), password: password.to_owned() },
            None => Login { name: user.to_owned(), password: password.unwrap_or_default() },
        }
    }

    /// A token for what is asked over HTTP.
    ///
    /// # Errors
    /// A sentence about why there is none.
    pub fn token(&self, address: &str, deadline: Instant) -> Result<String, String> {
        let body = json!({ "name": self.name, "password": self.password }).to_string();
        let answer = http::post_json(address, "/v3/auth/authenticate", &body, None, deadline);
        let answer = answer.map_err(HttpError::into_io).map_err(|error| error.to_string())?;
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let why = || said["message"].as_str().unwrap_or("it gives no token").to_owned();
        said["token"].as_str().map(str::to_owned).ok_or_else(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_stands_behind_the_name_or_by_itself() {
        let login = |name: &str, password: &str| Login { name: name.into(), password: password.into() };
        assert_eq!(Login::of("ana:a:b", Some("x".into())), login("ana", "a:b"));
        assert_eq!(Login::of("ana", Some("x".into())), login("ana", "x"));
        assert_eq!(Login::of("ana", None), login("ana", ""));
        assert!(!format!("{:?}", login("ana", "secret")).contains("secret"));
    }
}
