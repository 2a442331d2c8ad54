//! The space-time diagram.

use jangada_node::event::{Deed, DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, MessageKind, RoleChange, RoleName};
use jangada_raft::types::{Index, NodeId, Term, Time};
use jangada_trace::deeds;
use jangada_trace::language::Language;
use jangada_trace::names::Names;
use jangada_trace::timeline::scale::{Room, Scale};
use jangada_trace::timeline::svg;
use jangada_trace::timeline::text::{Style, paint};
use jangada_trace::timeline::{Absence, Fate, Scene, Tally, Topics, View};

pub(crate) fn at(micros: u64, node: u64, seq: u64, event: RaftEvent) -> Record {
    Record { time: Time(micros * 1_000), node: NodeId(node), seq, event: Event::Raft(event) }
}

pub(crate) fn sent(to: u64, sequence: u64, kind: MessageKind) -> RaftEvent {
    RaftEvent::Sent { to: NodeId(to), sequence, term: Term(1), kind, index: Index(0), count: 1 }
}

pub(crate) fn received(from: u64, sequence: u64, kind: MessageKind) -> RaftEvent {
    RaftEvent::Received { from: NodeId(from), sequence, term: Term(1), kind, index: Index(0), count: 1 }
}

/// n2 asks for votes; n1's answer arrives, n3's does not.
pub(crate) fn election() -> Vec<Record> {
    use MessageKind::{Heartbeat, Vote, VoteReply};
    let role = |role, why| RaftEvent::RoleChanged { role, term: Term(1), why };
    vec![
        at(213_000, 2, 1, role(RoleName::Candidate, RoleChange::PreVoteWon)),
        at(213_000, 2, 2, sent(1, 7, Vote)),
        at(213_000, 2, 3, sent(3, 8, Vote)),
        at(213_500, 1, 1, received(2, 7, Vote)),
        at(213_600, 3, 1, received(2, 8, Vote)),
        at(214_000, 1, 2, sent(2, 1, VoteReply)),
        at(214_100, 3, 2, sent(1, 1, VoteReply)),
        at(214_200, 1, 3, received(3, 1, VoteReply)),
        at(214_500, 3, 3, sent(2, 2, VoteReply)),
        at(214_700, 2, 4, received(1, 1, VoteReply)),
        at(214_700, 2, 5, role(RoleName::Leader, RoleChange::ElectionWon)),
        at(214_800, 2, 6, sent(1, 9, Heartbeat)),
        at(215_000, 2, 7, RaftEvent::Committed { index: Index(3), term: Term(1) }),
        at(216_000, 2, 8, sent(3, 10, Heartbeat)),
    ]
}

fn painted(records: Vec<Record>, topics: &str, style: Style) -> String {
    let scene = Scene::of(records);
    let view = View { topics: Topics::parse(topics).expect("topics"), ..View::of(&scene) };
    paint(&scene, &Names::new(), &view, style).text
}

#[test]
fn an_election_in_two_alphabets() {
    let drawn = painted(election(), "+", Style::default());
    let expected = [
        "   t (ms)    n1            n2            n3",
        "  213.000    │             C             │  n2: would be elected → Candidate, term 1",
        "  213.000    │◀────vote────●────vote────▶│  RequestVote (last log index 0), term 1",
        "  214.000    ●────yes─────▶│             │  RequestVote reply: granted, term 1",
        "  214.100    │◀────yes─────┼─────────────●  RequestVote reply: granted, term 1",
        "  214.500    │             │✕┄┄┄┄┄┄┄┄┄┄┄┄●  RequestVote reply: granted, term 1; to n2: lost",
        "  214.700    │             L             │  n2: elected → LEADER of term 1",
        "  215.000    │             +             │  n2: committed up to 3, term 1",
        "",
    ];
    let expected = expected.join("\n");
    assert_eq!(drawn, expected, "\n{drawn}");
    let ascii = painted(election(), "all", Style { ascii: true, ..Style::default() });
    assert!(ascii.is_ascii(), "{ascii}");
    assert!(ascii.contains("heartbeat after 0, term 1; to n1: lost"), "{ascii}");
    assert!(ascii.contains("to n3: on its way when the recording ends"), "{ascii}");
    assert_eq!(painted(Vec::new(), "+", Style::default()), "   t (ms)\n");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [60, 80, 100, 200] {
        let drawn = painted(election(), "all", Style { width: Some(width), ..Style::default() });
        let widest = drawn.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(width), "{widest:?} of {width}\n{drawn}");
    }
}

#[test]
fn every_message_has_a_fate() {
    use MessageKind::Append;
    let scene = Scene::of(vec![
        at(1_000, 1, 1, sent(2, 1, Append)),
        at(1_500, 2, 1, received(1, 1, Append)),
        at(2_000, 1, 2, sent(2, 2, Append)),
        at(3_000, 1, 3, sent(3, 3, Append)),
        at(4_000, 1, 4, sent(2, 4, Append)),
        at(4_400, 2, 2, received(1, 4, Append)),
        at(4_500, 2, 3, received(1, 4, Append)),
        at(4_600, 2, 4, received(9, 1, Append)),
        at(9_900, 1, 5, sent(2, 5, Append)),
        at(10_000, 2, 5, sent(1, 1, Append)),
    ]);
    let fates: Vec<(u64, u64, Fate)> = (scene.arrows.iter())
        .filter(|arrow| arrow.left.is_some() && !arrow.is_duplicate)
        .map(|arrow| (scene.lanes[arrow.from].node.0, arrow.sequence, arrow.fate))
        .collect();
    let expected = [
        (1, 1, Fate::Received),
        (1, 2, Fate::Lost),
        (1, 3, Fate::Unrecorded),
        (1, 4, Fate::Received),
        (1, 5, Fate::OnTheWay),
        (2, 1, Fate::OnTheWay),
    ];
    assert_eq!(fates, expected);
    let tally = Tally { sent: 6, received: 2, lost: 1, on_the_way: 2, unrecorded: 1, duplicates: 1 };
    assert_eq!(scene.tally(), tally);
    let drawn = painted(scene.records.clone(), "+", Style::default());
    for note in
        ["to n2: arrives once more", "its departure is not recorded", "to n3: its arrival is not recorded"]
    {
        assert!(drawn.contains(note), "{note}\n{drawn}");
    }
}

/// A leader's heartbeats every 50 ms to two followers, and what `befalls` each: `None` loses it.
fn beats(befalls: impl Fn(u64, u64) -> Option<u64>) -> Vec<Record> {
    let mut happened: Vec<(u64, u64, RaftEvent)> = Vec::new();
    let mut sequence = 0;
    for beat in 0..40 {
        for to in [2, 3] {
            sequence += 1;
            let left = beat * 50_000;
            happened.push((left, 1, sent(to, sequence, MessageKind::Heartbeat)));
            if let Some(after) = befalls(to, left) {
                happened.push((left + after, to, received(1, sequence, MessageKind::Heartbeat)));
            }
        }
    }
    happened.sort_by_key(|(time, ..)| *time);
    let mut seqs = [0; 4];
    let record = |(micros, node, event): (u64, u64, RaftEvent)| {
        seqs[node as usize] += 1;
        at(micros, node, seqs[node as usize], event)
    };
    happened.into_iter().map(record).collect()
}

fn quiet(records: Vec<Record>) -> Vec<(u64, Absence, u64, u64)> {
    let scene = Scene::of(records);
    let mut all = Vec::new();
    for lane in &scene.lanes {
        for quiet in &lane.quiet {
            all.push((lane.node.0, quiet.why, quiet.begin.0 / 1_000_000, quiet.end.0 / 1_000_000));
        }
    }
    all
}

#[test]
fn a_server_that_is_cut_off_stands_still_or_is_down_is_seen() {
    assert_eq!(quiet(beats(|_, _| Some(400))), []);
    let cut = quiet(beats(|to, left| (to == 2 || !(500_000..1_200_000).contains(&left)).then_some(400)));
    assert_eq!(cut, [(3, Absence::CutOff, 500, 1_200)]);
    let paused = |to, left| match to {
        2 if (500_000..1_200_000).contains(&left) => Some(1_200_000 - left),
        _ => Some(400),
    };
    assert_eq!(quiet(beats(paused)), [(2, Absence::Silent, 450, 1_200)]);
    let mut down = beats(|to, left| (to == 2 || !(500_000..1_200_000).contains(&left)).then_some(400));
    let opened = DiskEvent::Opened { entries: 0, last: Index(0), snapshot: Index(0), torn_bytes: 0 };
    let place = down.iter().position(|record| record.time.0 == 1_200_000_000).unwrap();
    let start = Record { time: Time(1_199_000_000), node: NodeId(3), seq: 1, event: Event::Disk(opened) };
    down.insert(place, start);
    assert_eq!(quiet(down), [(3, Absence::Down, 450, 1_199)]);
}

/// A leader's heartbeats to two followers, each of which is answered while `answers` says so.
fn answered(answers: impl Fn(u64, u64) -> bool) -> Vec<Record> {
    let mut records = beats(|to, left| answers(to, left).then_some(400));
    let mut sequences = [1_000; 4];
    for beat in 0..40 {
        for from in [2, 3].into_iter().filter(|from| answers(*from, beat * 50_000)) {
            let sequence = &mut sequences[from as usize];
            *sequence += 1;
            let (left, kind) = (beat * 50_000 + 500, MessageKind::AppendAccepted);
            records.push(at(left, from, 0, sent(1, *sequence, kind)));
            records.push(at(left + 300, 1, 0, received(from, *sequence, kind)));
        }
    }
    records.sort_by_key(|record| record.time);
    let mut seqs = [0; 4];
    for record in &mut records {
        let seq = &mut seqs[record.node.0 as usize];
        *seq += 1;
        record.seq = *seq;
    }
    records
}

#[test]
fn a_server_that_nobody_recorded_is_seen_to_fall_silent_by_what_the_others_heard_of_it() {
    let without_n3 = |records: Vec<Record>| -> Vec<Record> {
        records.into_iter().filter(|record| record.node != NodeId(3)).collect()
    };
    assert_eq!(quiet(without_n3(answered(|_, _| true))), [], "it answers all the time");
    let killed = without_n3(answered(|to, left| to == 2 || left < 500_000));
    assert_eq!(quiet(killed), [(3, Absence::Silent, 450, 1_950)]);
    let never = without_n3(answered(|to, _| to == 2));
    assert_eq!(quiet(never), [(3, Absence::Silent, 0, 1_950)]);
    let away = without_n3(answered(|to, left| to == 2 || !(500_000..1_200_000).contains(&left)));
    assert_eq!(quiet(away), [(3, Absence::Silent, 450, 1_200)]);
}

#[test]
fn a_server_that_nobody_recorded_is_what_the_others_heard_of_it() {
    use MessageKind::{AppendAccepted, Heartbeat, PreVoteReply};
    let later = RaftEvent::Received {
        from: NodeId(1),
        sequence: 9,
        term: Term(2),
        kind: AppendAccepted,
        index: Index(0),
        count: 0,
    };
    let scene = Scene::of(vec![
        at(1_000, 2, 1, received(1, 6, PreVoteReply)),
        at(2_000, 2, 2, received(1, 7, Heartbeat)),
        at(3_000, 3, 1, received(1, 8, Heartbeat)),
        at(5_000, 3, 2, later),
        at(6_000, 2, 3, received(1, 8, Heartbeat)),
    ]);
    let roles = scene.lanes.iter().find(|lane| lane.node == NodeId(1)).expect("it was heard").roles.iter();
    let told: Vec<_> = roles
        .map(|span| (span.role, span.term.0, span.begin.0 / 1_000_000, span.end.0 / 1_000_000))
        .collect();
    assert_eq!(told, [(RoleName::Leader, 1, 2, 5), (RoleName::Follower, 2, 5, 5)]);
}

#[test]
fn a_recording_that_was_cut_says_nothing_of_a_role_beyond_its_end() {
    let elected =
        RaftEvent::RoleChanged { role: RoleName::Leader, term: Term(1), why: RoleChange::ElectionWon };
    let mut records = answered(|_, _| true);
    records.insert(0, at(0, 1, 0, elected));
    let cut =
        records.into_iter().filter(|record| record.node != NodeId(1) || record.time < Time(600_000_000));
    let scene = Scene::of(cut.collect());
    assert_eq!(scene.lanes[0].quiet, [], "the others hear it all the time");
    let last = scene.lanes[0].roles.last().unwrap();
    assert_eq!((last.role, last.end.0 / 1_000_000), (RoleName::Leader, 550));
}

#[test]
fn what_was_sent_to_a_server_whose_recording_ends_is_not_said_to_be_lost() {
    let killed = beats(|to, left| (to == 2 || left < 500_000).then_some(400));
    assert_eq!(quiet(killed.clone()), [(3, Absence::Silent, 450, 1_950)]);
    let scene = Scene::of(killed);
    let tally = scene.tally();
    // The last heartbeats may be under way; the others nobody knows of.
    assert_eq!((tally.lost, tally.received, tally.unrecorded + tally.on_the_way), (0, 50, 30), "{tally:?}");
    assert!(tally.unrecorded >= 28, "{tally:?}");
    // Whoever was heard of again was not killed then: what it missed was lost.
    let cut = Scene::of(beats(|to, left| (to == 2 || !(500_000..1_200_000).contains(&left)).then_some(400)));
    assert_eq!((cut.tally().lost, cut.tally().unrecorded), (14, 0));
}

#[test]
fn a_restart_does_not_make_lost_what_a_killed_server_may_have_taken() {
    let opened = |last| {
        Event::Disk(DiskEvent::Opened { entries: last, last: Index(last), snapshot: Index(0), torn_bytes: 0 })
    };
    let start = |millis: u64, last| Record {
        time: Time(millis * 1_000_000),
        node: NodeId(3),
        seq: 1,
        event: opened(last),
    };
    let away = 500_000..1_200_000;
    let restarted =
        with(beats(|to, left| (to == 2 || !away.contains(&left)).then_some(400)), &[start(1_190, 4)]);
    // Those that it may have taken before it was killed, and those that came while it was away.
    let tally = Scene::of(restarted.clone()).tally();
    assert_eq!((tally.lost, tally.unrecorded), (0, 14), "{tally:?}");
    // What left long before its last record and is not among its records was lost, as what was overtaken was.
    let mut holed = beats(|to, left| (to == 2 || !(away.contains(&left) || left == 200_000)).then_some(400));
    holed = with(holed, &[start(1_190, 4)]);
    let tally = Scene::of(holed).tally();
    assert_eq!((tally.lost, tally.unrecorded), (1, 14), "{tally:?}");
    // Of a server whose recorder began anew with it nothing older is known.
    let only_after: Vec<Record> = restarted
        .into_iter()
        .filter(|record| record.node != NodeId(3) || record.time.0 >= 1_190_000_000)
        .collect();
    let tally = Scene::of(only_after).tally();
    assert_eq!((tally.lost, tally.unrecorded), (0, 24), "{tally:?}");
    // One that starts for the first time cannot have got anything before.
    let born = with(beats(|to, left| (to == 2 || left >= 1_200_000).then_some(400)), &[start(1_190, 0)]);
    let tally = Scene::of(born).tally();
    assert_eq!((tally.lost, tally.unrecorded), (24, 0), "{tally:?}");
}

/// What was done after so many milliseconds.
fn done(millis: u64, node: u64, deed: Deed) -> Record {
    deeds::record(Time(millis * 1_000_000), NodeId(node), deed)
}

/// Records with these deeds among them.
fn with(mut records: Vec<Record>, deeds: &[Record]) -> Vec<Record> {
    records.extend(deeds);
    records.sort_by_key(|record| record.time);
    records
}

#[test]
fn where_deeds_are_known_bands_are_what_was_done() {
    let isolated: Vec<Record> = [(3, 1), (3, 2), (1, 3), (2, 3)]
        .into_iter()
        .flat_map(|(from, to)| {
            let to = NodeId(to);
            [done(530, from, Deed::Cut { to }), done(1_100, from, Deed::Mend { to })]
        })
        .collect();
    let lost = beats(|to, left| (to == 2 || !(500_000..1_200_000).contains(&left)).then_some(400));
    assert_eq!(quiet(with(lost, &isolated)), [(3, Absence::CutOff, 530, 1_100)]);
    // A server that is only made to stand still loses nothing; one that crashes is down until it starts.
    let deeds = [
        done(300, 2, Deed::Pause),
        done(400, 2, Deed::Resume),
        done(500, 2, Deed::Pause),
        done(600, 2, Deed::Crash),
        done(700, 2, Deed::Start),
        done(800, 3, Deed::Crash),
    ];
    let (last, all) = (1_950, quiet(with(beats(|_, _| Some(400)), &deeds)));
    assert_eq!(
        all,
        [
            (2, Absence::Paused, 300, 400),
            (2, Absence::Paused, 500, 600),
            (2, Absence::Down, 600, 700),
            (3, Absence::Down, 800, last)
        ]
    );
    // A way that nobody cut is not concluded to be cut, whatever is lost on it.
    let lossy = with(beats(|to, _| (to == 2).then_some(400)), &[done(100, 1, Deed::Lose { percent: 60 })]);
    assert_eq!(quiet(lossy), []);
}

#[test]
fn what_the_network_does_is_told_by_every_painter() {
    let slow = |millis, by: u64| done(millis, 1, Deed::Slow { by_nanos: by * 1_000_000 });
    let deeds = [
        done(100, 1, Deed::Lose { percent: 30 }),
        slow(200, 50),
        slow(400, 0),
        done(400, 1, Deed::Lose { percent: 0 }),
    ];
    let records = with(beats(|_, _| Some(400)), &deeds);
    let drawn = painted(records.clone(), "+", Style::default());
    for line in [
        "  100.000    │             │             │  for 100 ms: messages 30 % lost",
        "  200.000    │             │             │  for 200 ms: messages 30 % lost, 50 ms slower",
    ] {
        assert!(drawn.lines().any(|drawn| drawn == line), "{drawn}");
    }
    let scene = Scene::of(records);
    let picture = svg::paint("t", &scene, &Names::new(), &View::of(&scene), svg::Style::default());
    assert!(picture.contains("<title>messages 30 % lost, 50 ms slower for 200 ms</title>"), "{picture}");
    let view = View { language: Language::Portuguese, ..View::of(&scene) };
    let drawn = paint(&scene, &Names::new(), &view, Style::default()).text;
    assert!(drawn.contains("por 200 ms: mensagens 30 % perdidas, 50 ms mais lentas"), "{drawn}");
    let picture = svg::paint("t", &scene, &Names::new(), &view, svg::Style::default());
    assert!(picture.contains("<title>mensagens 30 % perdidas por 100 ms</title>"), "{picture}");
    assert_eq!(scene.lanes.len(), 3);
    assert_eq!(scene.lanes[0].missing, 0, "deeds are not counted by servers");
}

#[test]
fn what_says_nothing_new_is_folded() {
    let drawn = painted(beats(|_, _| Some(400)), "+", Style::default());
    assert_eq!(drawn.lines().count(), 1, "{drawn}");
    let mut records = beats(|_, _| Some(400));
    records.push(at(2_000_000, 1, 999, RaftEvent::Committed { index: Index(1), term: Term(1) }));
    let drawn = painted(records, "+", Style::default());
    assert!(
        drawn.contains("⋮    │             │             │  (80 heartbeats and answers in 2.0 s)"),
        "{drawn}"
    );
}

/// n2 hears nobody any more and asks again and again: every 100 ms, with a new election timeout each third time; with
/// `answers`, n1 says yes each time. At last it hears that there is a leader.
fn in_vain(answers: bool) -> Vec<Record> {
    let times_out = || RaftEvent::RoleChanged {
        role: RoleName::PreCandidate,
        term: Term(1),
        why: RoleChange::ElectionTimeout,
    };
    let mut seqs = [0; 4];
    let mut records = Vec::new();
    let mut push = |micros: u64, node: u64, event: RaftEvent| {
        seqs[node as usize] += 1;
        records.push(at(micros, node, seqs[node as usize], event));
    };
    push(1_000, 1, RaftEvent::Committed { index: Index(1), term: Term(1) });
    push(1_000, 3, RaftEvent::Committed { index: Index(1), term: Term(1) });
    for time in 0..12 {
        let now = 100_000 * (time + 1);
        if time % 3 == 0 {
            push(now, 2, times_out());
        }
        push(now, 2, sent(1, 2 * time, MessageKind::PreVote));
        push(now, 2, sent(3, 2 * time + 1, MessageKind::PreVote));
        if answers {
            push(now + 400, 1, received(2, 2 * time, MessageKind::PreVote));
            push(now + 400, 1, sent(2, time, MessageKind::PreVoteReply));
            push(now + 800, 2, received(1, time, MessageKind::PreVoteReply));
        }
    }
    let follower =
        RaftEvent::RoleChanged { role: RoleName::Follower, term: Term(1), why: RoleChange::LeaderFound };
    push(1_290_000, 2, follower);
    push(1_300_000, 3, sent(2, 1, MessageKind::Append));
    push(1_300_400, 2, received(3, 1, MessageKind::Append));
    push(1_400_000, 1, RaftEvent::Committed { index: Index(2), term: Term(1) });
    push(1_400_000, 3, RaftEvent::Committed { index: Index(2), term: Term(1) });
    records
}

#[test]
fn campaigns_in_vain_are_folded_into_one_line() {
    // Where deeds are known, nobody is concluded to be cut off.
    let in_vain = |answers| with(in_vain(answers), &[done(50, 3, Deed::Start)]);
    let drawn = painted(in_vain(false), "+", Style::default());
    let campaign: Vec<&str> = drawn.lines().skip(3).take(4).collect();
    let expected = [
        "  100.000    │             P             │  n2: election timeout → PreCandidate, asks who would vote for it",
        "  100.000    │✕┄┄┄┄┄┄┄┄┄┄┄┄●┄┄┄┄┄┄┄┄┄┄┄┄✕│  PreVote (last log index 0), term 1; to n1: lost; to n3: lost",
        "        ⋮    │             ⋮             │  n2 asks 11 times more in 1.0 s who would vote for it: nobody answers",
        " 1290.000    │             F             │  n2: term 1 has a leader → Follower",
    ];
    assert_eq!(campaign, expected, "\n{drawn}");
    // Whoever wants to see each of them can.
    let all = painted(in_vain(false), "+heartbeats", Style::default());
    assert_eq!(all.matches("PreVote (last").count(), 12, "{all}");
    assert_eq!((all.matches("PreCandidate").count(), all.matches("times more").count()), (4, 0), "{all}");
    // Answers that never suffice are folded, too.
    let drawn = painted(in_vain(true), "+", Style::default());
    assert!(
        drawn.contains("n2 asks 11 times more in 1.0 s who would vote for it: too few answer"),
        "{drawn}"
    );
    assert_eq!(drawn.matches("PreVote reply").count(), 1, "{drawn}");
    // An answer to what is asked at last, and shown, is none to what was asked before.
    let mut late = in_vain(false);
    late.extend([
        at(1_200_400, 1, 2, received(2, 22, MessageKind::PreVote)),
        at(1_200_500, 1, 2, sent(2, 9, MessageKind::PreVoteReply)),
        at(1_200_800, 2, 28, received(1, 9, MessageKind::PreVoteReply)),
    ]);
    late.sort_by_key(|record| record.time);
    let drawn = painted(late, "+", Style::default());
    assert!(
        drawn.contains("n2 asks 11 times more in 1.0 s who would vote for it: nobody answers"),
        "{drawn}"
    );
    assert_eq!(drawn.matches("PreVote (last").count(), 2, "{drawn}");
    // An election that nobody wins at once is none that is in vain.
    assert!(Scene::of(election()).repeats.is_empty());
}

#[test]
fn campaigns_in_vain_are_one_band_and_a_line_in_the_picture_for_reports() {
    let scene = Scene::of(in_vain(false));
    assert_eq!(scene.lanes[1].roles.len(), 2, "{:?}", scene.lanes[1].roles);
    let picture = svg::paint("t", &scene, &Names::new(), &View::of(&scene), svg::Style::default());
    assert_eq!(picture.matches("n2 asks 11 times more in 1.0 s").count(), 1, "{picture}");
    assert!(picture.contains(">×11</text>"), "where time is folded, there is not much room: {picture}");
    let even = View { folds_time: false, ..View::of(&scene) };
    let even = svg::paint("t", &scene, &Names::new(), &even, svg::Style::default());
    assert!(even.contains(">11 times more</text>"), "{even}");
    assert_eq!(picture.matches("n2 → n1").count(), 1, "{picture}");
}

/// n2 stands in term 1 and, once n1 leads term 2, follows it; n3 follows all the time.
fn two_terms() -> Vec<Record> {
    let term = |new, from| RaftEvent::TermChanged {
        old: Term(new - 1),
        new: Term(new),
        from: if from == 0 { None } else { Some(NodeId(from)) },
    };
    let role = |role, term, why| RaftEvent::RoleChanged { role, term: Term(term), why };
    let opened = DiskEvent::Opened { entries: 0, last: Index(0), snapshot: Index(0), torn_bytes: 0 };
    let mut records: Vec<Record> = (1..=3)
        .map(|node| Record { time: Time(0), node: NodeId(node), seq: 1, event: Event::Disk(opened) })
        .collect();
    records.extend([
        at(100_000, 2, 2, term(1, 0)),
        at(100_000, 2, 3, role(RoleName::Candidate, 1, RoleChange::ElectionTimeout)),
        at(101_000, 3, 2, term(1, 2)),
        at(102_000, 2, 4, role(RoleName::Leader, 1, RoleChange::ElectionWon)),
        at(500_000, 1, 2, term(2, 0)),
        at(500_000, 1, 3, role(RoleName::Candidate, 2, RoleChange::ElectionTimeout)),
        at(501_000, 2, 5, term(2, 1)),
        at(501_000, 2, 6, role(RoleName::Follower, 2, RoleChange::HigherTerm)),
        at(501_000, 3, 3, term(2, 1)),
        at(503_000, 1, 4, role(RoleName::Leader, 2, RoleChange::ElectionWon)),
        at(900_000, 3, 4, RaftEvent::Committed { index: Index(1), term: Term(2) }),
    ]);
    records
}

#[test]
fn who_follows_in_a_new_term_is_drawn_in_that_term() {
    let scene = Scene::of(two_terms());
    let told: Vec<Vec<(u64, u64, RoleName)>> = (scene.lanes.iter())
        .map(|lane| lane.roles.iter().map(|s| (s.begin.0 / 1_000_000, s.term.0, s.role)).collect())
        .collect();
    use RoleName::{Candidate, Follower, Leader};
    assert_eq!(told[0], [(0, 0, Follower), (500, 2, Candidate), (503, 2, Leader)]);
    assert_eq!(told[1], [(0, 0, Follower), (100, 1, Candidate), (102, 1, Leader), (501, 2, Follower)]);
    assert_eq!(told[2], [(0, 0, Follower), (101, 1, Follower), (501, 2, Follower)]);
    let picture = svg::paint("t", &scene, &Names::new(), &View::of(&scene), svg::Style::default());
    assert_eq!(picture.matches(">follower · term 2</text>").count(), 2, "{picture}");
    assert_eq!(picture.matches(">follower · term 1</text>").count(), 1, "{picture}");
}

#[test]
fn quiet_stretches_are_folded_and_it_is_said_how_long_they_were() {
    let scene = Scene::of(two_terms());
    let view = View::of(&scene);
    let picture = svg::paint("t", &scene, &Names::new(), &view, svg::Style::default());
    for long in ["100 ms", "398 ms", "397 ms"] {
        assert!(
            picture.contains(&format!("<title>nothing to be seen for {long}</title>")),
            "{long}: {picture}"
        );
        assert!(picture.contains(&format!(">{long}</text>")), "{long}: {picture}");
    }
    assert!(picture.contains("quiet: time is left out"), "{picture}");
    // Three milliseconds of an election are worth more room than half a second without anything.
    let place = |text: &str| {
        let before = picture.split(text).next().unwrap();
        let x = before.rsplit("<text x=\"").next().unwrap().split('"').next().unwrap();
        x.parse::<f64>().unwrap()
    };
    assert!(place(">candidate · term 2</text>") + 150.0 < place(">t2</text>"), "{picture}");
    let even = View { folds_time: false, ..view };
    let picture = svg::paint("t", &scene, &Names::new(), &even, svg::Style::default());
    assert!(
        !picture.contains("nothing to be seen for") && !picture.contains("time is left out"),
        "{picture}"
    );
}

#[test]
fn a_message_that_waits_long_keeps_no_stretch_from_being_folded() {
    let mut records = two_terms();
    for (sequence, to) in [(800, 2), (801, 3)] {
        records.push(at(500_000, 1, sequence, sent(to, sequence, MessageKind::Vote)));
        records.push(at(501_000, to, sequence, received(1, sequence, MessageKind::Vote)));
    }
    records.sort_by_key(|record| record.time);
    let folds = |records: Vec<Record>| {
        let scene = Scene::of(records);
        let room = Room { width: 1_000.0, may_grow: true, fold: 40.0 };
        Scale::of(&scene, &View::of(&scene), room).folds.len()
    };
    let without = folds(records.clone());
    assert!(without > 0);
    let (first, last) = (records[0].time.0 / 1_000 + 1, records[records.len() - 1].time.0 / 1_000);
    records.push(at(first, 1, 900, sent(3, 900, MessageKind::Append)));
    records.push(at(last, 3, 901, received(1, 900, MessageKind::Append)));
    records.sort_by_key(|record| record.time);
    assert_eq!(folds(records), without);
}

#[test]
fn a_server_that_is_down_when_the_recording_ends_is_so_in_its_last_row() {
    let records = with(election(), &[done(214, 3, Deed::Crash), done(216, 1, Deed::Stall)]);
    let drawn = painted(records, "all", Style { ascii: true, ..Style::default() });
    let last = drawn.lines().last().unwrap();
    let lanes: String = last.chars().skip(11).take(33).collect();
    assert_eq!(lanes.matches('|').count(), 1, "{drawn}");
}

#[test]
fn what_happens_all_the_time_is_not_folded() {
    let scene = Scene::of(beats(|_, _| Some(400)));
    let all = View { topics: Topics::parse("+heartbeats").unwrap(), ..View::of(&scene) };
    let picture = svg::paint("t", &scene, &Names::new(), &all, svg::Style::default());
    assert!(!picture.contains("nothing to be seen for"), "{picture}");
}
