//! The page's files, as they lie in `crates/jangada/web`: no step stands between them and the browser.

/// One file.
pub struct Asset {
    /// Its name, which is its path on the page.
    pub name: &'static str,
    /// What it is.
    pub content_type: &'static str,
    /// What is in it.
    pub text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! asset {
    ($name:literal, $content_type:expr) => {
        Asset {
            name: $name,
            content_type: $content_type,
            text: include_str!(concat!("../../../web/", $name)),
        }
    };
}

/// All of them; the first is the page itself.
pub const ASSETS: &[Asset] = &[
    asset!("index.html", "text/html; charset=utf-8"),
    asset!("page.css", "text/css; charset=utf-8"),
    asset!("page.js", SCRIPT),
    asset!("cards.js", SCRIPT),
    asset!("diagram.js", SCRIPT),
    asset!("model.js", SCRIPT),
    asset!("words.js", SCRIPT),
];

/// The file of this name.
pub fn named(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_from_elsewhere() {
        for asset in ASSETS {
            for foreign in ["http://", "https://", "src=\"//", "import('", "eval("] {
                let text = asset.text.replace("http://www.w3.org/", "");
                assert!(!text.contains(foreign), "{} has {foreign}", asset.name);
            }
        }
    }

    #[test]
    fn every_module_that_is_imported_is_embedded() {
        for asset in ASSETS {
            for line in asset.text.lines().filter(|line| line.starts_with("import ")) {
                let from = line.split("'./").nth(1).and_then(|rest| rest.split('\'').next());
                let from = from.unwrap_or_else(|| panic!("{}: {line}", asset.name));
                assert!(named(from).is_some(), "{} wants {from}", asset.name);
            }
        }
    }
}
