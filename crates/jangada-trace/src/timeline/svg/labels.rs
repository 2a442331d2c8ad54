//! Text that does not cover other text: whoever comes first has the place.

use std::collections::BTreeMap;

/// Places are looked for in columns of this width.
const COLUMN: f64 = 64.0;

/// The places that are taken.
#[derive(Default)]
pub(super) struct Labels {
    columns: BTreeMap<i64, Vec<Box4>>,
}

/// Left, top, right, bottom.
type Box4 = (f64, f64, f64, f64);

impl Labels {
    /// Whether nothing stands here.
    pub(super) fn is_free(&self, at: (f64, f64), size: (f64, f64)) -> bool {
        let mine = (at.0 - 1.0, at.1 - 1.0, at.0 + size.0 + 1.0, at.1 + size.1 + 1.0);
        let covers =
            |other: &Box4| mine.0 < other.2 && other.0 < mine.2 && mine.1 < other.3 && other.1 < mine.3;
        columns(at, size)
            .all(|column| self.columns.get(&column).is_none_or(|boxes| !boxes.iter().any(covers)))
    }

    /// Something stands here from now on.
    pub(super) fn take(&mut self, at: (f64, f64), size: (f64, f64)) {
        for column in columns(at, size) {
            self.columns.entry(column).or_default().push((at.0, at.1, at.0 + size.0, at.1 + size.1));
        }
    }
}

fn columns(at: (f64, f64), size: (f64, f64)) -> impl Iterator<Item = i64> {
    let column = |x: f64| (x / COLUMN).floor() as i64;
    column(at.0)..=column(at.0 + size.0)
}

/// About how wide a text is: fonts differ, so rather too much.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.58
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_once() {
        let mut labels = Labels::default();
        let size = (100.0, 10.0);
        assert!(labels.is_free((10.0, 10.0), size));
        labels.take((10.0, 10.0), size);
        assert!(!labels.is_free((90.0, 15.0), size));
        assert!(labels.is_free((112.0, 10.0), size));
        assert!(labels.is_free((10.0, 22.0), size));
    }
}
