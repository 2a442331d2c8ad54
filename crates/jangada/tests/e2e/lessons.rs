//! `jangada lab`: the lessons, each played rightly and wrongly, in a made-up world and on real servers.

use crate::laboratory::{Place, lines};
use crate::support::{expect_exit, stderr, stdout};

/// A lesson: lines that do its tasks, and others that do not, with what is said then.
struct Played {
    number: u8,
    rightly: &'static str,
    wrongly: &'static [(&'static str, &'static str)],
}

const PLAYED: [Played; 8] = [
    Played {
        number: 1,
        rightly: "wait leader at most 20s\nrun 200ms\nlesson check\ntransfer follower\nwait leader at most 20s\nlesson check\n",
        wrongly: &[
            ("", "nobody leads yet in term 0"),
            ("wait leader\nrun 200ms\nlesson check\nrun 1s\n", "still leads, now term 1"),
        ],
    },
    Played {
        number: 2,
        rightly: "timeout 1\ntimeout 2\nrun 5ms\nlesson check\nwait leader\nlesson check\n",
        wrongly: &[
            ("", "nobody has stood for election yet"),
            ("timeout 1\nwait role 1 candidate\n", "only n1 stood in term 1"),
            ("timeout 1\nwait leader\n", "n1 won term 1"),
            ("timeout 1\ntimeout 2\nrun 1ms\n", "the votes of term 1 are still on their way"),
            ("timeout 1\ntimeout 2\nrun 5ms\nlesson check\nrun 1ms\n", "nobody leads yet in term 1"),
        ],
    },
    Played {
        number: 3,
        rightly: "wait leader at most 20s\nset d 8\nwait settled at most 20s\nlesson check\nmark\ncrash leader\n\
                  wait leader changed at most 20s\nget d\nlesson check\nrestart all\nwait settled at most 20s\nlesson check\n",
        wrongly: &[
            ("wait leader\n", "`d` has no value at"),
            ("set d 8\nwait settled\nlesson check\ncrash follower\n", "it is the one to be killed"),
            ("set d 8\nwait settled\nlesson check\ncrash leader\n", "nobody leads yet"),
            (
                "set d 8\nwait settled\nlesson check\ncrash leader\nwait leader\nlesson check\nrun 1s\n",
                "is down still: `restart ",
            ),
        ],
    },
    Played {
        number: 4,
        rightly: "watch votes\ntimeout 1\nwait leader 1\nlesson check\nwait settled\nshow log\nlesson check\n",
        wrongly: &[
            ("", "nobody leads yet"),
            ("timeout 5\nwait leader 5\n", "n5 leads term 8, and the figure's leader is n1"),
            ("timeout 1\nwait role 1 leader\n", "has committed nothing of it yet"),
            ("timeout 1\nwait leader 1\nlesson check\ncrash 7\nrun 1s\n", "n7 is down: `restart 7`"),
        ],
    },
    Played {
        number: 5,
        rightly: "timeout 1\nrun 100ms\nlesson check\ndeliver 1 -> 3 append\nrun 10ms\ndeliver 1 -> 3 append\nrun 10ms\n\
                  lesson check\ncrash 1\ntimeout 5\nwait leader 5\nwait settled\nshow log\nlesson check\n",
        wrongly: &[
            ("", "nobody leads yet: `timeout 1`"),
            ("timeout 5\nrun 100ms\n", "n5 leads term "),
            (
                "timeout 1\nrun 100ms\nlesson check\n",
                "entry 2 of term 2 is on n1 n2, and 3 of 5 are a majority",
            ),
            ("timeout 1\nrun 100ms\nlesson check\nrelease\nwait settled\n", "that is case (e)"),
        ],
    },
    Played {
        number: 6,
        rightly: "add 4 5\nrun 500ms\nlesson check\nlet gone = leader\nremove leader\nwait leader at most 20s\n\
                  lesson check\ncrash gone\ncrash follower\nset d 8\nrun 200ms\nlesson check\n",
        wrongly: &[
            ("wait leader\n", "3 vote (n1 n2 n3), and five are to"),
            ("add 4\nrun 1s\n", "4 vote (n1 n2 n3 n4), and five are to"),
            ("add 4 5\nrun 1s\nlesson check\nremove follower\nrun 1s\n", "is a member still"),
            (
                "add 4 5\nrun 1s\nlesson check\nremove leader\nwait leader\nlesson check\nset d 8\n",
                "0 of 4 members are down, and 1 may be",
            ),
        ],
    },
    Played {
        number: 7,
        rightly: "wait leader at most 20s\nset d 8\nrun 200ms\ncrash follower\nlesson check\nset a 1\nset b 2\n\
                  snapshot leader\nrun 200ms\nlesson check\nrestart all\nwait settled at most 20s\nlesson check\n",
        wrongly: &[
            ("wait leader\n", "0 servers are down, and one is to be"),
            ("wait leader\ncrash follower\nlesson check\nsnapshot leader\n", "nothing was written since"),
            ("wait leader\ncrash follower\nlesson check\nset a 1\n", "still begins at entry"),
            ("wait leader\ncrash follower\nlesson check\nset a 1\nrestart all\nrun 1s\n", "is back already"),
        ],
    },
    Played {
        number: 8,
        rightly: "set d 1\nwait settled at most 20s\nlesson check\nlet old = leader\nmark\nisolate leader\n\
                  wait leader changed at most 20s\nset d 2\nlesson check\nget d at old\nlesson check\nheal\n\
                  wait settled at most 20s\nget d at old\nlesson check\n",
        wrongly: &[
            ("wait leader\n", "`d` has no value at"),
            ("set d 1\nwait settled\nlesson check\nset d 2\n", "still leads term 1"),
            (
                "set d 1\nwait settled\nlesson check\nmark\nisolate leader\nwait leader changed\n",
                "`d` is `1` at",
            ),
            (
                "set d 1\nwait settled\nlesson check\nmark\nisolate leader\nwait leader changed\nset d 2\nlesson check\n",
                "was not asked for `d` just now",
            ),
        ],
    },
];

fn checked(out: &str) -> usize {
    out.lines().filter(|line| line.starts_with("checked: ")).count()
}

#[test]
fn each_lesson_ends_in_what_was_checked() {
    let place = Place::new();
    for lesson in &PLAYED {
        let script = format!("lesson {}\nlesson hint\n{}lesson\n", lesson.number, lesson.rightly);
        let output = place.piped(&script, &["--sim"]);
        let out = stdout(&output);
        expect_exit(&output, 0);
        assert_eq!(checked(&out), lesson.rightly.matches("lesson check").count(), "{out}");
        assert_eq!(lines(&out, &format!("lesson {} is done", lesson.number)).len(), 1, "{out}");
        let told: Vec<&str> = out.lines().filter(|line| line.contains(['{', '}'])).collect();
        assert!(told.is_empty(), "every place is filled: {told:?}");
    }
}

#[test]
fn what_is_not_so_is_not_done_and_the_reason_is_said() {
    let place = Place::new();
    for lesson in &PLAYED {
        for (lines_, why) in lesson.wrongly {
            let script = format!("lesson {}\n{lines_}lesson check\n", lesson.number);
            let output = place.piped(&script, &["--sim"]);
            expect_exit(&output, 1);
            let out = stdout(&output);
            let refusals = lines(&out, "not yet, because ");
            assert_eq!(refusals.len(), 1, "lesson {}, {lines_}\n{out}", lesson.number);
            assert!(refusals[0].contains(why), "lesson {}: {why}\n{out}", lesson.number);
            assert!(!out.contains(" is done"), "{out}");
        }
    }
}

#[test]
fn lessons_are_played_on_real_servers_and_need_a_made_up_world_only_where_they_say_so() {
    let place = Place::new();
    for number in [1, 3, 6, 7, 8] {
        let lesson = &PLAYED[number - 1];
        let script = format!("lesson {number}\n{}", lesson.rightly);
        let output = place.piped(&script, &[]);
        expect_exit(&output, 0);
        let out = stdout(&output);
        assert_eq!(lines(&out, &format!("lesson {number} is done")).len(), 1, "{out}\n{}", stderr(&output));
    }
    // From real servers into a made-up world, and back.
    let script = format!("lesson 2\n{}lesson stop\nset d 8\nexpect answer OK\nback\n", PLAYED[1].rightly);
    let output = place.piped(&script, &[]);
    expect_exit(&output, 1);
    let out = stdout(&output);
    assert!(out.contains("the real servers rest meanwhile") && out.contains("lesson 2 is done"), "{out}");
    assert!(out.contains("real time goes one way"), "{out}");
}

/// The commands of each task's hint, in their order, by lesson.
fn hints() -> Vec<Vec<String>> {
    let text = include_str!("../../src/lab/lessons/en.toml");
    let lessons = text.split("[[lesson]]").skip(1);
    let commands = |hint: &str| {
        let quoted = hint.split('`').skip(1).step_by(2);
        quoted.map(|command| format!("{command}\n")).collect::<String>()
    };
    lessons
        .map(|lesson| lesson.lines().filter_map(|line| line.strip_prefix("hint = ")).map(commands).collect())
        .collect()
}

#[test]
fn what_the_hints_say_does_the_tasks_when_it_is_typed_word_for_word() {
    let place = Place::new();
    for (number, tasks) in (1..).zip(hints()) {
        let script = format!("lesson {number}\n{}lesson check\n", tasks.join("lesson check\n"));
        let real: &[&str] = &[];
        let worlds = if [2, 4, 5].contains(&number) { vec![] } else { vec![real] };
        for more in worlds.into_iter().chain([&["--sim"][..]]) {
            let output = place.piped(&script, more);
            let out = stdout(&output);
            assert_eq!(lines(&out, "not yet, because").len(), 0, "{script}\n{out}");
            assert_eq!(checked(&out), tasks.len(), "{script}\n{out}");
            expect_exit(&output, 0);
        }
    }
}

#[test]
fn lessons_are_listed_repeated_and_left() {
    let place = Place::new();
    let script = format!(
        "lesson check\nlesson\nlesson 9\nlesson two\nlesson 2\n{}lesson check\nlesson again\nlesson next\nlesson stop\nlesson\n",
        PLAYED[1].rightly
    );
    let output = place.piped(&script, &["--sim"]);
    expect_exit(&output, 2);
    let out = stdout(&output);
    for says in [
        "no lesson is under way: `lesson` lists them",
        "there is no lesson `9`: there are 1 to 8",
        "there is no lesson `two`",
        "this lesson is done: `lesson next`",
        "lesson 3 · Kill the leader",
        "no tasks any more",
    ] {
        assert!(out.contains(says), "{says}\n{out}");
    }
    assert_eq!(lines(&out, "lesson 2 · A split vote").len(), 2, "{out}");
    let listed = lines(&out, "  A split vote  ");
    assert_eq!(
        (listed.len(), listed[0].contains(" done"), listed[1].ends_with(" done")),
        (2, false, true),
        "{out}"
    );
}

#[test]
fn lessons_are_given_in_portuguese() {
    let place = Place::new();
    let output = place.piped(&format!("lesson 3\n{}lesson\n", PLAYED[2].rightly), &["--sim", "--lang", "pt"]);
    expect_exit(&output, 0);
    let out = stdout(&output);
    for says in ["lição 3 · Matar o líder", "tarefa 2 de 3: ", "conferido: ", "lição 3 concluída"] {
        assert!(out.contains(says), "{says}\n{out}");
    }
}
