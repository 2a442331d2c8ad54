//! Plans on paper: JSON that a person can read and change, and that replays exactly.
//!
//! ```json
//! {"jangada_plan": 1,
//!  "about": "election_safety, +3.117 s, n2: n2 and n3 both lead in term 4",
//!  "plan": {
//!   "seed": 17,
//!   …
//!   "faults": [
//!    ["1.25s", {"crash": {"who": "leader", "at": "now", "death": "killed", "down": "50ms"}}]
//!   ],
//!   "trouble": "3s"
//!  }}
//! ```
//!
//! Durations are text (`1.25s`, `50ms`, `200us`), servers their names. A plan replays exactly in the version that has
//! written it: another one may draw its chances in another order.

use core::time::Duration;

use jangada_raft::types::NodeId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::plan::{Fault, Plan, Who};
use crate::script::tokens;

/// The form of the file.
const VERSION: u64 = 1;

/// A plan as a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// The form of the file.
    jangada_plan: u64,
    /// What it is about, for people.
    #[serde(default)]
    pub about: String,
    /// The plan.
    pub plan: Plan,
}

/// What every form of the file has.
#[derive(Deserialize)]
struct Head {
    jangada_plan: Option<u64>,
}

impl PlanFile {
    /// A file for this plan.
    #[must_use]
    pub fn of(plan: Plan, about: String) -> PlanFile {
        PlanFile { jangada_plan: VERSION, about, plan }
    }

    /// As text: a line for each setting, and for each fault.
    ///
    /// # Panics
    /// Never: a plan has nothing that JSON cannot say.
    #[must_use]
    pub fn write(&self) -> String {
        lay_out(&serde_json::to_string(self).expect("all keys are text, and no number is a fraction"))
    }

    /// Reads such a file.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(text: &str) -> Result<PlanFile, String> {
        let head: Head = serde_json::from_str(text).map_err(|why| format!("no plan: {why}"))?;
        match head.jangada_plan {
            Some(VERSION) => {}
            Some(other) => {
                return Err(format!("a plan in form {other}; this program reads form {VERSION}"));
            }
            None => return Err("no plan: it has no `\"jangada_plan\": 1`".into()),
        }
        let file: PlanFile = serde_json::from_str(text).map_err(|why| format!("no plan: {why}"))?;
        file.plan.validate()?;
        Ok(file)
    }
}

impl Plan {
    /// Whether a world can follow this plan: drawn plans always can, written ones need not.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub fn validate(&self) -> Result<(), String> {
        let Plan { servers, spares, network, disk, settings, .. } = self;
        let demand = |so: bool, why: &str| if so { Ok(()) } else { Err(why.to_owned()) };
        demand(*servers >= 1, "servers: a cluster has one at least")?;
        demand(servers.saturating_add(*spares) <= 15, "servers and spares: 15 at most")?;
        demand(network.delay_min <= network.delay_max, "network: delay_min is above delay_max")?;
        demand(disk.sync_min <= disk.sync_max, "disk: sync_min is above sync_max")?;
        demand(settings.snapshot_part_bytes > 0, "settings: snapshot_part_bytes is 0")?;
        demand(settings.segment_bytes >= 4 << 10, "settings: segment_bytes is below 4096")?;
        demand(self.clients.clients < 1 << 16, "clients: too many of them")?;
        for (_, fault) in &self.faults {
            if let Fault::ChangeMembers { voters, .. } = fault {
                demand(!voters.is_empty(), "faults: change_members without voters")?;
            }
        }
        crate::server::raft_config(self, NodeId(1), 1, 1).validate().map_err(|why| format!("settings: {why}"))
    }
}

/// Breaks lines in the outer two objects and in the lists of the plan, and puts spaces elsewhere.
fn lay_out(json: &str) -> String {
    let (mut out, mut quoted, mut escaped) = (String::new(), false, false);
    // For each bracket that is open: whether what is inside stands on lines of its own.
    let mut broken: Vec<bool> = Vec::new();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', 2 * depth));
    };
    let mut letters = json.chars().peekable();
    while let Some(letter) = letters.next() {
        if quoted {
            out.push(letter);
            quoted = escaped || letter != '"';
            escaped = letter == '\\' && !escaped;
            continue;
        }
        let is_broken = broken.last() == Some(&true);
        match letter {
            '{' | '[' => {
                let empty = matches!(letters.peek(), Some('}' | ']'));
                broken.push(!empty && (broken.len() < 2 || broken.len() == 2 && letter == '['));
                out.push(letter);
                if broken.last() == Some(&true) {
                    line(&mut out, broken.len());
                }
            }
            '}' | ']' => {
                broken.pop();
                if is_broken {
                    line(&mut out, broken.len());
                }
                out.push(letter);
            }
            ',' if is_broken => {
                out.push(letter);
                line(&mut out, broken.len());
            }
            ',' | ':' => out.extend([letter, ' ']),
            _ => {
                out.push(letter);
                quoted = letter == '"';
            }
        }
    }
    out.push('\n');
    out
}

// ---- Single values ----------------------------------------------------------------------------------------

/// As long as anybody likes.
pub(crate) fn unlimited() -> u64 {
    u64::MAX
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
pub(crate) fn is_unlimited(count: &u64) -> bool {
    *count == u64::MAX
}

impl From<Who> for String {
    fn from(who: Who) -> String {
        match who {
            Who::Leader => "leader".into(),
            Who::Server(id) => id.to_string(),
        }
    }
}

impl TryFrom<String> for Who {
    type Error = String;

    fn try_from(text: String) -> Result<Who, String> {
        if text == "leader" { Ok(Who::Leader) } else { id::read(&text).map(Who::Server) }
    }
}

/// `"n2"`.
pub(crate) mod id {
    use super::*;

    pub(super) fn read(text: &str) -> Result<NodeId, String> {
        let number = text.strip_prefix('n').and_then(|number| number.parse().ok());
        number
            .filter(|number| *number > 0)
            .map(NodeId)
            .ok_or_else(|| format!("`{text}` is no server: write `n2`"))
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
    pub(crate) fn serialize<S: Serializer>(id: &NodeId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NodeId, D::Error> {
        read(&String::deserialize(from)?).map_err(Error::custom)
    }
}

/// `["n1", "n2"]`.
pub(crate) mod ids {
    use super::*;

    pub(crate) fn serialize<'a, S, I>(ids: &'a I, to: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        &'a I: IntoIterator<Item = &'a NodeId>,
    {
        to.collect_seq(ids.into_iter().map(ToString::to_string))
    }

    pub(crate) fn deserialize<'de, D, I>(from: D) -> Result<I, D::Error>
    where
        D: Deserializer<'de>,
        I: FromIterator<NodeId>,
    {
        let names = Vec::<String>::deserialize(from)?;
        names.iter().map(|name| id::read(name)).collect::<Result<I, String>>().map_err(Error::custom)
    }
}

/// `"1.25s"`.
pub(crate) mod duration {
    use super::*;

    /// In the largest unit of which it is one or more, to the nanosecond.
    pub(crate) fn write(duration: Duration) -> String {
        let nanos = duration.as_nanos();
        let (unit, each, digits) = match nanos {
            0 => return "0s".into(),
            1_000_000_000.. => ("s", 1_000_000_000, 9),
            1_000_000.. => ("ms", 1_000_000, 6),
            _ => ("us", 1_000, 3),
        };
        let fraction = format!("{:0digits$}", nanos % each);
        match fraction.trim_end_matches('0') {
            "" => format!("{}{unit}", nanos / each),
            fraction => format!("{}.{fraction}{unit}", nanos / each),
        }
    }

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&write(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        tokens::duration(&text)
            .ok_or_else(|| Error::custom(format!("`{text}` is no duration: write `300ms`, `2s` or `1.5s`")))
    }
}

/// `["1.25s", {"campaign": {"who": "n2"}}]`.
pub(crate) mod faults {
    use super::*;

    #[derive(Serialize)]
    struct Written<'a>(#[serde(with = "duration")] Duration, &'a Fault);

    #[derive(Deserialize)]
    struct Read(#[serde(with = "duration")] Duration, Fault);

    pub(crate) fn serialize<S: Serializer>(faults: &[(Duration, Fault)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(faults.iter().map(|(at, fault)| Written(*at, fault)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(Duration, Fault)>, D::Error> {
        Ok(Vec::<Read>::deserialize(from)?.into_iter().map(|Read(at, fault)| (at, fault)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Profile;
    use crate::swarm;

    fn text(plan: &Plan, about: &str) -> String {
        PlanFile::of(plan.clone(), about.to_owned()).write()
    }

    #[test]
    fn what_is_written_is_read_again() {
        for seed in (0..60).chain([u64::MAX]) {
            let mut plan = swarm::draw(seed, Profile::ALL[usize::from(seed % 2 == 0)], None);
            if seed % 3 == 0 {
                plan.clients.operations = seed;
            }
            let about = "what it shows: \"a, b\" \\";
            let text = text(&plan, about);
            let file = PlanFile::read(&text).unwrap_or_else(|why| panic!("seed {seed}: {why}\n{text}"));
            assert_eq!((file.plan, file.about.as_str()), (plan, about), "seed {seed}:\n{text}");
        }
    }

    #[test]
    fn a_plan_is_a_line_for_each_setting_and_each_fault() {
        let plan = swarm::draw(3, Profile::Default, Some(3));
        let text = text(&plan, "an example");
        assert!(
            text.starts_with(
                "{\n  \"jangada_plan\": 1,\n  \"about\": \"an example\",\n  \"plan\": {\n    \"seed\": 3,\n"
            ),
            "{text}"
        );
        assert_eq!(text.lines().count(), 19 + plan.faults.len(), "{text}");
    }

    #[test]
    fn durations_are_exact() {
        for nanos in [0, 1, 999, 1_000, 1_001, 50_000_000, 1_250_000_000, 12_345_678_901, 60_000_000_000] {
            let duration = Duration::from_nanos(nanos);
            let text = duration::write(duration);
            assert_eq!(tokens::duration(&text), Some(duration), "{text}");
        }
        assert_eq!(duration::write(Duration::from_millis(1_250)), "1.25s");
    }

    #[test]
    fn what_is_no_plan_is_told() {
        let good = text(&swarm::draw(1, Profile::Default, Some(3)), "");
        let wrong = |from: &str, to: &str| {
            assert!(good.contains(from), "`{from}` stands in\n{good}");
            PlanFile::read(&good.replacen(from, to, 1)).expect_err(to)
        };
        for (from, to, says) in [
            ("{", "", "no plan: "),
            ("\"jangada_plan\": 1", "\"jangada_plan\": 7", "form 7; this program reads form 1"),
            ("\"jangada_plan\": 1", "\"plan_of_jangada\": 1", "it has no `"),
            ("\"servers\": 3", "\"servers\": 0", "a cluster has one at least"),
            ("\"servers\": 3", "\"servers\": \"three\"", "at line "),
            ("\"servers\": 3", "\"serfers\": 3", "unknown field `serfers`"),
            ("\"trouble\": \"50s\"", "\"trouble\": \"50\"", "`50` is no duration"),
            ("\"profile\": \"default\"", "\"profile\": \"clasic\"", "unknown variant `clasic`"),
            ("\"heartbeat\": \"", "\"heartbeat\": \"1", "settings: "),
        ] {
            let why = wrong(from, to);
            assert!(why.contains(says), "{to}: {why}");
        }
        assert!(PlanFile::read("").is_err());
        assert!(PlanFile::read("[1, 2]").is_err());
    }
}
