//! What stands behind the question mark.

/// How a request about keys is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// All keys that begin so.
    pub(super) prefix: bool,
    /// What happens from now on, not what is there.
    pub(super) watch: bool,
    /// What this member knows, which may be old.
    pub(super) serializable: bool,
    /// As it was at a revision; 0 for now.
    pub(super) revision: i64,
    /// At most so many; 0 for all.
    pub(super) limit: i64,
    /// Under which lease it is put; 0 for none.
    pub(super) lease: i64,
}

impl Options {
    /// # Errors
    /// A sentence about the first that is not known or has a wrong value.
    pub(super) fn parse(query: &str) -> Result<Options, String> {
        let mut options = Options::default();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match (name, value) {
                ("prefix", "" | "true") => options.prefix = true,
                ("watch", "" | "true") => options.watch = true,
                ("serializable", "" | "true") => options.serializable = true,
                ("prefix" | "watch" | "serializable", "false") => {}
                ("revision", number) => options.revision = positive(name, number)?,
                ("limit", number) => options.limit = positive(name, number)?,
                ("lease", name) => options.lease = lease(name)?,
                ("prefix" | "watch" | "serializable", other) => {
                    return Err(format!("?{name} is either there or not; '{other}' says nothing about it"));
                }
                (other, _) => {
                    return Err(format!(
                        "?{other} is not known; there are ?prefix, ?watch, ?serializable, ?revision=N, ?limit=N, ?lease=ID"
                    ));
                }
            }
        }
        Ok(options)
    }

    /// What is asked for and is none of these; a request that cannot have it must not be carried out without it.
    pub(super) fn beyond(&self, honoured: &[&str]) -> Option<&'static str> {
        let asked = [
            ("prefix", self.prefix),
            ("watch", self.watch),
            ("serializable", self.serializable),
            ("revision", self.revision != 0),
            ("limit", self.limit != 0),
            ("lease", self.lease != 0),
        ];
        asked.into_iter().find(|(name, asked)| *asked && !honoured.contains(name)).map(|(name, _)| name)
    }
}

fn positive(name: &str, number: &str) -> Result<i64, String> {
    let positive = number.parse().ok().filter(|number| *number > 0);
    positive.ok_or_else(|| format!("?{name}={number}: a number from 1 on is wanted"))
}

/// As `lease grant` and a listing write it.
fn lease(digits: &str) -> Result<i64, String> {
    let lease = i64::from_str_radix(digits, 16).ok().filter(|lease| *lease > 0);
    lease.ok_or_else(|| {
        format!("?lease={digits}: hexadecimal digits are wanted, as `lease grant` writes them")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_named_and_have_values() {
        assert_eq!(Options::parse(""), Ok(Options::default()));
        let all =
            Options { prefix: true, watch: true, serializable: true, revision: 7, limit: 2, lease: 0x1f };
        assert_eq!(Options::parse("prefix&watch=true&serializable&revision=7&limit=2&lease=1f"), Ok(all));
        assert_eq!(Options::parse("prefix=false"), Ok(Options::default()));
        for wrong in [
            "prefixes",
            "limit=0",
            "limit",
            "revision=-1",
            "watch=maybe",
            "lease",
            "lease=0",
            "lease=-1",
            "lease=g",
        ] {
            assert!(Options::parse(wrong).is_err(), "{wrong}");
        }
    }
}
