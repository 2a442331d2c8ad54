//! Who of the voters takes part, and how many more may fail: what `jangada cluster status` and `jangada ctl status` have in
//! common, whichever way they ask.
//!
//! A voter that is cut off from the others still answers whoever asks it. It holds up no write, and none can rely on it: what
//! counts is whom the leader hears, and who follows that leader. Where nobody leads, who answers counts.

/// What a voter answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was not asked: who asks does not know where it is.
    NotAsked,
    /// Nothing.
    Nothing,
    /// That it knows no leader.
    Leaderless,
    /// That it follows another one than the leader that counts.
    FollowsAnother,
    /// That it follows the leader, or is it.
    Follows,
}

/// In what way a voter that answers stands apart from the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// The leader does not hear it.
    Unheard,
    /// It knows no leader.
    Leaderless,
    /// It follows another one.
    FollowsAnother,
}

/// Whether a voter takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It does.
    Takes,
    /// It answers, and does not.
    StandsApart(Apart),
    /// It does not answer.
    Absent,
}

/// How a voter stands that answered so; `heard` is whether the leader (without one, whoever knows most) hears it, if it tells.
pub fn part(is_led: bool, answer: Answer, heard: Option<bool>) -> Part {
    match answer {
        Answer::Nothing => Part::Absent,
        Answer::NotAsked if heard == Some(true) => Part::Takes,
        Answer::NotAsked => Part::Absent,
        Answer::Leaderless | Answer::FollowsAnother | Answer::Follows if !is_led => Part::Takes,
        Answer::Leaderless | Answer::FollowsAnother | Answer::Follows if heard == Some(false) => {
            Part::StandsApart(Apart::Unheard)
        }
        Answer::Leaderless => Part::StandsApart(Apart::Leaderless),
        Answer::FollowsAnother => Part::StandsApart(Apart::FollowsAnother),
        Answer::Follows => Part::Takes,
    }
}

/// How many voters there are, and how many take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub voters: usize,
    /// How many take part.
    pub there: usize,
    /// Whether somebody leads.
    pub is_led: bool,
}

impl Count {
    fn majority(self) -> usize {
        self.voters / 2 + 1
    }

    /// Whether enough voters take part; without a leader, whether enough answer to elect one.
    pub fn has_quorum(self) -> bool {
        self.voters > 0 && self.there >= self.majority()
    }

    /// Whether anything can be written now.
    pub fn serves(self) -> bool {
        self.has_quorum() && self.is_led
    }

    /// How many more may fail; none while nothing can be written.
    pub fn spare(self) -> usize {
        if self.serves() { self.there.saturating_sub(self.majority()) } else { 0 }
    }

    /// How many must return before anything can be written.
    pub fn missing(self) -> usize {
        self.majority().saturating_sub(self.there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_must_be_left() {
        for (there, voters, spare, missing) in
            [(3, 3, 1, 0), (2, 3, 0, 0), (1, 3, 0, 1), (5, 5, 2, 0), (4, 4, 1, 0), (1, 5, 0, 2), (1, 1, 0, 0)]
        {
            let led = Count { voters, there, is_led: true };
            assert_eq!((led.spare(), led.missing(), led.serves()), (spare, missing, missing == 0), "{led:?}");
            let leaderless = Count { is_led: false, ..led };
            assert_eq!((leaderless.spare(), leaderless.serves()), (0, false), "{leaderless:?}");
            assert_eq!(leaderless.has_quorum(), missing == 0, "{leaderless:?}");
        }
        assert!(!Count { voters: 0, there: 0, is_led: false }.has_quorum());
    }

    #[test]
    fn who_answers_but_is_cut_off_does_not_take_part() {
        use Answer::{Follows, FollowsAnother, Leaderless, NotAsked, Nothing};
        for (answer, heard, expected) in [
            (Follows, None, Part::Takes),
            (Follows, Some(true), Part::Takes),
            (Follows, Some(false), Part::StandsApart(Apart::Unheard)),
            (Leaderless, Some(true), Part::StandsApart(Apart::Leaderless)),
            (FollowsAnother, None, Part::StandsApart(Apart::FollowsAnother)),
            (Nothing, Some(true), Part::Absent),
            (NotAsked, Some(true), Part::Takes),
            (NotAsked, None, Part::Absent),
        ] {
            assert_eq!(part(true, answer, heard), expected, "{answer:?}, {heard:?}");
        }
        assert_eq!(part(false, Leaderless, Some(false)), Part::Takes, "nobody stands apart from nobody");
        assert_eq!(part(false, Nothing, None), Part::Absent);
    }
}
