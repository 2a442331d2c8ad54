//! The other forms of the picture: a table, SVG, a trace for Perfetto.

use jangada_raft::event::{Event as RaftEvent, MessageKind};
use jangada_raft::types::{Index, Term};
use jangada_trace::names::Names;
use jangada_trace::timeline::table::{self, Part};
use jangada_trace::timeline::{Scene, Topics, View, perfetto, svg};

use crate::timeline::{at, election, received, sent};

fn part<'a>(title: &'a str, scene: &'a Scene, names: &'a Names, verdict: Result<(), &'a str>) -> Part<'a> {
    Part { title, scene, names, view: View::of(scene), verdict }
}

#[test]
fn the_prototypes_table_and_what_it_could_not_show() {
    let (scene, names) = (Scene::of(election()), Names::new());
    let drawn = table::paint(&[part("election", &scene, &names, Ok(()))], false);
    let expected = [
        "PASS election  n1:up n2:up n3:up ; entries: 4",
        "Time (ms) │ n1                             │ n2                             │ n3",
        "──────────┼────────────────────────────────┼────────────────────────────────┼────────────────────────────────",
        "  213.000 │                                │ would be elected → Candidate,  │",
        "          │                                │ term 1                         │",
        "  214.500 │                                │                                │ RequestVote reply to n2 is",
        "          │                                │                                │ lost",
        "  214.700 │                                │ elected → LEADER of term 1     │",
        "  215.000 │                                │ committed up to 3, term 1      │",
        "",
        "PASS",
        "",
    ];
    assert_eq!(drawn, expected.join("\n"), "\n{drawn}");
}

#[test]
fn tables_of_one_name_are_numbered_and_the_last_line_is_for_all() {
    let (scene, names) = (Scene::of(election()), Names::new());
    let good = |title| part(title, &scene, &names, Ok(()));
    let drawn = table::paint(&[good("a"), good("a"), good("b"), good("a")], true);
    assert!(drawn.is_ascii(), "{drawn}");
    let heads: Vec<&str> = drawn.lines().filter(|line| line.contains("entries:")).collect();
    let titles: Vec<&str> = heads.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(titles, ["a", "a_1", "b", "a_2"]);
    assert!(drawn.ends_with("\n\nPASS\n"), "{drawn}");
    let bad = part("c", &scene, &names, Err("n1 and n2 both lead in term 2"));
    let drawn = table::paint(&[good("a"), bad], true);
    assert!(
        drawn.contains("FAIL c  n1:up n2:up n3:up ; entries: 4\n  n1 and n2 both lead in term 2\n"),
        "{drawn}"
    );
    assert!(drawn.ends_with("\nFAIL: 1 of 2\n"), "{drawn}");
}

#[test]
fn the_picture_for_reports_names_what_it_shows() {
    let mut names = Names::new();
    names.insert(jangada_raft::types::NodeId(3), "a<b>&\"c\"");
    let scene = Scene::of(election());
    let view = View { topics: Topics::all(), ..View::of(&scene) };
    let drawn = svg::paint("an <election>", &scene, &names, &view, svg::Style::default());
    for text in [
        "an &lt;election&gt;",
        "a&lt;b&gt;&amp;",
        "lost",
        "leader · term 1",
        "RequestVote and its answers",
        "commit 3",
    ] {
        assert!(drawn.contains(text), "{text}\n{drawn}");
    }
    assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    for tag in ["svg", "g", "text", "title", "pattern", "rect"] {
        let opened = drawn.matches(&format!("<{tag} ")).count() + drawn.matches(&format!("<{tag}>")).count();
        let closed = drawn.matches(&format!("</{tag}>")).count();
        let alone = drawn.lines().flat_map(|line| line.split('<')).filter(|piece| {
            piece.starts_with(&format!("{tag} "))
                && piece.split('>').next().is_some_and(|head| head.ends_with('/'))
        });
        assert_eq!(opened, closed + alone.count(), "{tag}");
    }
    // Nothing happened, at one moment: still a picture.
    let scene = Scene::of(Vec::new());
    assert!(svg::paint("", &scene, &names, &View::of(&scene), svg::Style::default()).ends_with("</svg>\n"));
}

#[test]
fn what_a_narrow_band_cannot_say_the_legend_does() {
    let mut records = election();
    records.push(at(226_000, 2, 9, RaftEvent::Committed { index: Index(4), term: Term(1) }));
    let scene = Scene::of(records);
    let view = View { topics: Topics::all(), folds_time: false, ..View::of(&scene) };
    let legend_of = |width| {
        let style = svg::Style { width, may_grow: false };
        let drawn = svg::paint("", &scene, &Names::new(), &view, style);
        let keys = drawn.split(r##"<text x="30" y="4" fill="#33414e">"##).skip(1);
        keys.filter_map(|rest| rest.split('<').next()).map(str::to_owned).collect::<Vec<String>>()
    };
    let has = |legend: &[String], name: &str| legend.iter().any(|key| key == name);
    let (wide, narrow) = (legend_of(6_000), legend_of(400));
    assert!(has(&wide, "it happened here, on this server"), "{wide:?}");
    for name in ["candidate", "in term 2"] {
        assert!(!has(&wide, name), "{name}: {wide:?}");
        assert!(has(&narrow, name), "{name}: {narrow:?}");
    }
}

#[test]
fn a_thousand_messages_on_one_pixel_are_one_arrow() {
    let mut records = Vec::new();
    for sequence in 0..1_000 {
        records.push(at(1_000 + sequence, 1, 2 * sequence + 1, sent(2, sequence, MessageKind::Append)));
        records.push(at(1_000 + sequence, 2, sequence + 1, received(1, sequence, MessageKind::Append)));
    }
    records.push(at(100_000_000, 1, 9_999, RaftEvent::Committed { index: Index(1), term: Term(1) }));
    let scene = Scene::of(records);
    let even = View { folds_time: false, ..View::of(&scene) };
    let drawn = svg::paint("", &scene, &Names::new(), &even, svg::Style::default());
    assert!(drawn.matches("<g ").count() < 5, "{}", drawn.matches("<g ").count());
}

#[test]
fn the_trace_for_perfetto_is_json_whose_arrows_have_two_ends() {
    let scene = Scene::of(election());
    let drawn = perfetto::paint(&scene, &Names::new(), &View::of(&scene));
    let trace: serde_json::Value = serde_json::from_str(&drawn).expect("it is JSON");
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |phase: &'static str| events.iter().filter(move |event| event["ph"] == phase);
    let ids = |phase: &'static str| of(phase).map(|event| event["id"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(ids("s").len(), 4);
    assert_eq!(ids("s"), ids("f"));
    assert!(of("X").any(|event| event["args"]["fate"] == "lost"));
    assert!(of("X").any(|event| event["name"] == "leader (term 1)" && event["ts"] == 214_700.0));
    assert!(of("M").any(|event| event["args"]["name"] == "n3"));
    assert!(of("i").any(|event| event["name"] == "committed up to 3, term 1"));
}
