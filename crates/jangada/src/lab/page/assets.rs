//! The page's files, as they lie in `crates/jangada/web`: no build step stands between them and the browser. What is
//! written there for people, comments and indentation, stays here when they are served.

use std::sync::LazyLock;

use jangada_server::config::ConsoleFile;

/// One file; its name is its path on the page.
pub type Asset = ConsoleFile;

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! asset {
    ($name:literal, $content_type:expr) => {
        ConsoleFile {
            name: $name,
            content_type: $content_type,
            text: include_str!(concat!("../../../web/", $name)),
        }
    };
}

/// The laboratory's page, which is the first file, and what it loads.
const LAB: &[Asset] = &[
    asset!("index.html", "text/html; charset=utf-8"),
    asset!("page.css", "text/css; charset=utf-8"),
    asset!("page.js", SCRIPT),
    asset!("picture.js", SCRIPT),
    asset!("cards.js", SCRIPT),
    asset!("diagram.js", SCRIPT),
    asset!("model.js", SCRIPT),
    asset!("words.js", SCRIPT),
];

/// A server's console, likewise.
const CONSOLE: &[Asset] = &[
    asset!("console.html", "text/html; charset=utf-8"),
    asset!("page.css", "text/css; charset=utf-8"),
    asset!("console.js", SCRIPT),
    asset!("clocks.js", SCRIPT),
    asset!("picture.js", SCRIPT),
    asset!("cards.js", SCRIPT),
    asset!("diagram.js", SCRIPT),
    asset!("model.js", SCRIPT),
    asset!("words.js", SCRIPT),
];

static SERVED: LazyLock<[Vec<Asset>; 2]> = LazyLock::new(|| [LAB, CONSOLE].map(all_lean));

fn all_lean(assets: &[Asset]) -> Vec<Asset> {
    assets.iter().map(|asset| Asset { text: String::leak(lean(asset)), ..*asset }).collect()
}

/// What a browser gets of the laboratory; the first file is the page itself.
pub fn served() -> &'static [Asset] {
    &SERVED[0]
}

/// What a browser gets under `/console/` of a server; the first file is the page itself.
pub fn console() -> &'static [Asset] {
    &SERVED[1]
}

/// What a browser need not see is left out: comments, which have lines of their own in these files, indentation, and the
/// spaces of a style sheet.
fn lean(asset: &Asset) -> String {
    let mut lean = String::with_capacity(asset.text.len());
    let mut in_comment = false;
    for line in asset.text.lines().map(str::trim) {
        in_comment |= line.starts_with("/*");
        if !in_comment && !line.is_empty() && !line.starts_with("//") {
            lean.push_str(line);
            lean.push('\n');
        }
        in_comment &= !line.ends_with("*/");
    }
    if asset.content_type.starts_with("text/css") {
        // None of these stands within a string there.
        for (wide, narrow) in [(": ", ":"), ("; ", ";"), (", ", ","), (" {", "{"), ("{ ", "{"), (";}", "}")] {
            lean = lean.replace(wide, narrow);
        }
    }
    lean
}

/// The file of this name.
pub fn named(name: &str) -> Option<&'static Asset> {
    served().iter().find(|asset| asset.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_a_browser_gets_stays_small() {
        for (page, files) in [("the laboratory's page", served()), ("the console", console())] {
            let bytes: usize = files.iter().map(|asset| asset.text.len()).sum();
            assert!(bytes <= 80_000, "{bytes} bytes: {page} is to stay within 80 kB");
        }
    }

    #[test]
    fn comments_and_indentation_are_not_served() {
        let script = "// one\n/** two\n * more\n */\nlet a = 1; // kept\n\n  /** three */\n\tb();\n";
        let of = |content_type, text| lean(&Asset { name: "", content_type, text });
        assert_eq!(of(SCRIPT, script), "let a = 1; // kept\nb();\n");
        assert_eq!(of("text/css", "a, b { c: 1px solid; d: e; }\n"), "a,b{c:1px solid;d:e}\n");
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        for asset in LAB.iter().chain(CONSOLE) {
            for foreign in ["http://", "https://", "src=\"//", "import('", "eval("] {
                let text = asset.text.replace("http://www.w3.org/", "");
                assert!(!text.contains(foreign), "{} has {foreign}", asset.name);
            }
        }
    }

    #[test]
    fn every_module_that_is_imported_is_embedded_and_no_other() {
        for assets in [LAB, CONSOLE] {
            let mut wanted: BTreeSet<&str> = [assets[0].name].into();
            for asset in assets {
                let after = |text: &'static str, mark| text.split(mark).skip(1);
                let imports = after(asset.text, "from './").map(|rest| rest.split('\'').next().unwrap());
                wanted.extend(imports);
                if asset.name.ends_with(".html") {
                    let files = after(asset.text, "stylesheet\" href=\"").chain(after(asset.text, " src=\""));
                    wanted.extend(files.map(|rest| rest.split('"').next().unwrap()));
                }
            }
            assert_eq!(wanted, assets.iter().map(|asset| asset.name).collect());
        }
    }
}
