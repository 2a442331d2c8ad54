//! The page's files, as they lie in `crates/jangada/web`: no build step stands between them and the browser. What is
//! written there for people who read them, comments and blanks, stays here when they are served; what is said to people who
//! look at the page is said in their language (`script.rs`, `markup.rs`, `pt.txt`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jangada_server::config::ConsoleFile;
use jangada_trace::language::{Language, pairs};

use super::{markup, script};

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

/// What the page says in Portuguese.
const PORTUGUESE: &str = include_str!("pt.txt");

static CATALOGUE: LazyLock<BTreeMap<&str, &str>> = LazyLock::new(|| pairs(PORTUGUESE).collect());
static IN_ENGLISH: LazyLock<Vec<Asset>> = LazyLock::new(|| all_in(Language::English, LAB));
static IN_PORTUGUESE: LazyLock<Vec<Asset>> = LazyLock::new(|| all_in(Language::Portuguese, LAB));
static OF_A_SERVER: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let english = all_in(Language::English, CONSOLE);
    let portuguese = all_in(Language::Portuguese, CONSOLE);
    english.into_iter().chain(portuguese.iter().filter_map(translated)).collect()
});

/// What a browser gets under `/console/` of a server; the first file is the page itself, `pt.html` the same in Portuguese,
/// which loads what is called `pt.` as well.
pub fn console() -> &'static [Asset] {
    &OF_A_SERVER
}

/// What a browser gets of the laboratory; the first file is the page itself.
pub fn served(language: Language) -> &'static [Asset] {
    match language {
        Language::English => &IN_ENGLISH,
        Language::Portuguese => &IN_PORTUGUESE,
    }
}

/// The file of this name.
pub fn named(language: Language, name: &str) -> Option<&'static Asset> {
    served(language).iter().find(|asset| asset.name == name)
}

fn all_in(language: Language, assets: &[Asset]) -> Vec<Asset> {
    let served = |asset: &Asset| {
        let text = match asset.name.rsplit_once('.') {
            Some((_, "js")) => script_in(language, asset.text),
            Some((_, "html")) => lines(&page_in(language, asset.text)),
            _ => style(&lines(asset.text)),
        };
        Asset { text: String::leak(text), ..*asset }
    };
    assets.iter().map(served).collect()
}

/// A file of the console in Portuguese, by a name of its own; `None` if it is the same in all languages.
fn translated(asset: &Asset) -> Option<Asset> {
    let (stem, ending) = asset.name.rsplit_once('.')?;
    let name = match ending {
        "html" => "pt.html".to_owned(),
        "js" => format!("pt.{stem}.js"),
        _ => return None,
    };
    let text =
        asset.text.replace("from './", "from './pt.").replace("src=\"console.js", "src=\"pt.console.js");
    Some(Asset { name: String::leak(name), text: String::leak(text), ..*asset })
}

/// A script, as it is served.
pub fn script_in(language: Language, text: &str) -> String {
    script::lean(text, &|english| said(language, english))
}

/// A page in this language.
pub fn page_in(language: Language, text: &str) -> String {
    let page = markup::said(text, &|english| said(language, english));
    match language {
        Language::English => page,
        Language::Portuguese => page.replacen("<html lang=\"en\">", "<html lang=\"pt-BR\">", 1),
    }
}

/// What the page says instead of an English text.
fn said(language: Language, english: &str) -> Option<String> {
    match language {
        Language::English => None,
        Language::Portuguese => CATALOGUE.get(english).map(|&said| said.to_owned()),
    }
}

/// Lines without indentation, and none that are comments. Comments have lines of their own in these files.
fn lines(text: &str) -> String {
    let mut lean = String::with_capacity(text.len());
    let mut in_comment = false;
    for line in text.lines().map(str::trim) {
        in_comment |= line.starts_with("/*");
        if !in_comment && !line.is_empty() {
            lean.push_str(line);
            lean.push('\n');
        }
        in_comment &= !line.ends_with("*/");
    }
    lean
}

/// A style sheet without the blanks that it can do without: none of these stands within a string there.
fn style(sheet: &str) -> String {
    let mut lean = sheet.to_owned();
    for (wide, narrow) in [(": ", ":"), ("; ", ";"), (", ", ","), (" {", "{"), ("{ ", "{"), (";}", "}")] {
        lean = lean.replace(wide, narrow);
    }
    lean
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use jangada_sim::script::help;

    use super::*;

    /// The files that speak, the page of a recording with them.
    const SPEAKING: &[(&str, &str)] = &[
        ("index.html", include_str!("../../../web/index.html")),
        ("page.js", include_str!("../../../web/page.js")),
        ("picture.js", include_str!("../../../web/picture.js")),
        ("cards.js", include_str!("../../../web/cards.js")),
        ("diagram.js", include_str!("../../../web/diagram.js")),
        ("model.js", include_str!("../../../web/model.js")),
        ("words.js", include_str!("../../../web/words.js")),
        ("console.html", include_str!("../../../web/console.html")),
        ("console.js", include_str!("../../../web/console.js")),
        ("timeline.html", include_str!("../../../web/timeline.html")),
        ("timeline.js", include_str!("../../../web/timeline.js")),
    ];

    /// Texts of scripts with blanks in them that nobody is told: classes, fonts, colours, selectors, names.
    const THE_PROGRAMS: &[&str] = &[
        "card {1}",
        "cell {1}",
        "cell away",
        "became {1}",
        "legend {1}",
        "{1} · jangada",
        "12px system-ui, sans-serif",
        "11px system-ui, sans-serif",
        "lab> ",
        "(prefers-reduced-motion: reduce)",
        "(prefers-color-scheme: dark)",
        "input, select, button",
        "#said, #grid",
    ];
    /// Texts of pages that are the same in all languages.
    const NAMES: &[&str] = &[
        "jangada",
        "jangada lab",
        "lab&gt;",
        "Esc",
        "&minus;",
        "crash leader, set d 8, isolate 1 3, heal, help",
    ];

    #[test]
    fn what_a_browser_gets_stays_small() {
        let english = |asset: &&Asset| !asset.name.starts_with("pt.");
        let portuguese = |asset: &&Asset| asset.name.starts_with("pt.") || asset.name.ends_with(".css");
        let weigh = |files: &[&Asset]| files.iter().map(|asset| asset.text.len()).sum::<usize>();
        for (page, files) in [
            ("the page", served(Language::English).iter().collect::<Vec<_>>()),
            ("the page in Portuguese", served(Language::Portuguese).iter().collect()),
            ("the console", console().iter().filter(english).collect()),
            ("the console in Portuguese", console().iter().filter(portuguese).collect()),
        ] {
            let bytes = weigh(&files);
            println!("{page}: {bytes} bytes in {} files", files.len());
            assert!(bytes <= 80_000, "{bytes} bytes: {page} is to stay within 80 kB");
        }
    }

    #[test]
    fn indentation_and_comments_are_not_served() {
        let sheet = "/* one\n two */\na, b { c: 1px solid; d: e; }\n\n  f { }\n";
        assert_eq!(style(&lines(sheet)), "a,b{c:1px solid;d:e}\nf{}\n");
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

    /// What is looked up in a file.
    fn texts(name: &str, text: &str) -> Vec<(String, bool)> {
        if name.ends_with(".js") {
            return script::strings(text);
        }
        let found = RefCell::new(Vec::new());
        markup::said(text, &|text| {
            found.borrow_mut().push((text.to_owned(), true));
            None
        });
        found.into_inner()
    }

    /// It has a word in it, places apart.
    fn speaks(text: &str) -> bool {
        let bare: String =
            text.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest)).collect();
        bare.split(|c: char| !c.is_alphabetic()).any(|word| word.chars().count() >= 3)
    }

    fn is_a_command(text: &str) -> bool {
        let first = text.split(' ').next().unwrap_or_default();
        let known = ["why", "goto", "timeout", "scenario", "status", "step", "fork"];
        help::of(first).is_some() || known.contains(&first)
    }

    #[test]
    fn whatever_the_page_says_it_says_in_portuguese() {
        let known: BTreeSet<&str> = CATALOGUE.keys().copied().collect();
        let mut all = BTreeSet::new();
        let mut missing = Vec::new();
        for (name, text) in SPEAKING {
            for (said, surely) in texts(name, text) {
                let excused = [THE_PROGRAMS, NAMES].concat().contains(&said.as_str())
                    || said.contains("@@")
                    || !surely && is_a_command(&said)
                    || said.starts_with("rgba(")
                    || said.starts_with('<');
                if speaks(&said) && !excused && !known.contains(said.as_str()) {
                    missing.push(format!("{name}: {said}"));
                }
                all.insert(said);
            }
        }
        assert!(missing.is_empty(), "pt.txt lacks: {missing:#?}");
        let left_over: Vec<&&str> = known.iter().filter(|text| !all.contains(**text)).collect();
        assert!(left_over.is_empty(), "no file says any more: {left_over:#?}");
    }

    #[test]
    fn the_same_things_are_put_into_a_text_in_both_languages() {
        for (english, portuguese) in pairs(PORTUGUESE) {
            let places = |text: &str| {
                text.split('{')
                    .skip(1)
                    .map(|part| part.split('}').next().map(str::to_owned))
                    .collect::<BTreeSet<_>>()
            };
            assert_eq!(places(english), places(portuguese), "{english}");
            assert!(!portuguese.trim().is_empty(), "{english}");
        }
        assert_eq!(CATALOGUE.len(), pairs(PORTUGUESE).count(), "a text stands there twice");
    }

    #[test]
    fn the_portuguese_console_loads_what_is_portuguese() {
        let mut wanted: BTreeSet<&str> = ["pt.html", "page.css"].into();
        let spoken: Vec<&Asset> = console().iter().filter(|asset| asset.name.starts_with("pt.")).collect();
        for asset in &spoken {
            let after = |mark| asset.text.split(mark).skip(1);
            wanted.extend(after("from './").map(|rest| rest.split('\'').next().unwrap()));
            wanted.extend(after(" src=\"").map(|rest| rest.split('"').next().unwrap()));
        }
        let there: BTreeSet<&str> = spoken.iter().map(|asset| asset.name).chain(["page.css"]).collect();
        assert_eq!(wanted, there);
        let text = |name| spoken.iter().find(|asset| asset.name == name).expect("a file").text;
        assert!(text("pt.html").contains("<html lang=\"pt-BR\">") && text("pt.html").contains("Mensagens"));
        assert!(text("pt.console.js").contains("lidera o mandato"), "{}", text("pt.console.js"));
        assert!(!text("pt.console.js").contains("leads term"));
    }

    #[test]
    fn the_portuguese_page_is_portuguese() {
        let text = |name| named(Language::Portuguese, name).expect("a file").text;
        assert!(text("index.html").contains("<html lang=\"pt-BR\">"));
        assert!(text("index.html").contains("Mensagens") && !text("index.html").contains("Messages"));
        assert!(text("words.js").contains("lidera o mandato") && !text("words.js").contains("leads term"));
        assert!(text("page.js").contains("get('token')"), "the program's own strings stay");
    }
}
