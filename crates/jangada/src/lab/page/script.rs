//! What a browser gets of a script: without comments and needless blanks, and in the language that people read.
//!
//! Strings of a script are told apart by how they are written. What stands in "double quotes" is said to people, and so is a
//! 'string' or a `template` with a blank in it that the catalogue knows; all other strings are the program's own. Places
//! in templates (`${…}`) are called `{1}`, `{2}` … in the catalogue, in the order of the English sentence; another
//! language may have them in another order. Nothing here knows more of JavaScript than where its strings, templates,
//! comments and regular expressions begin and end.

/// A sentence of another language; `None`: it is said as it stands.
pub type Say<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Signs beside which a blank means nothing. (Not `+` and `-`: `a + +b` is not `a ++b`.)
const SIGNS: &[char] =
    &['{', '}', '(', ')', '[', ']', ';', ',', ':', '?', '=', '<', '>', '&', '|', '*', '%', '!'];

/// The script as a browser gets it.
pub fn lean(script: &str, say: Say<'_>) -> String {
    let mut reader = Reader { rest: script, out: String::with_capacity(script.len()), say };
    reader.code();
    reader.out
}

/// The strings and templates of a script as they would be looked up, and whether each stands in double quotes.
#[cfg(test)]
pub fn strings(script: &str) -> Vec<(String, bool)> {
    let found = std::cell::RefCell::new(Vec::new());
    let listed = |text: &str| {
        found.borrow_mut().push(text.to_owned());
        None
    };
    lean(script, &listed);
    let quoted = |text: &String| script.contains(&format!("\"{text}\""));
    found.into_inner().into_iter().map(|text| (text.clone(), quoted(&text))).collect()
}

struct Reader<'a> {
    rest: &'a str,
    out: String,
    say: Say<'a>,
}

impl Reader<'_> {
    /// Reads up to the end, or to the brace that closes what was open before.
    fn code(&mut self) {
        let mut open = 0_usize;
        while let Some(next) = self.rest.chars().next() {
            match next {
                '{' => open += 1,
                '}' if open == 0 => return,
                '}' => open -= 1,
                '\'' | '"' => {
                    self.string(next);
                    continue;
                }
                '`' => {
                    self.template();
                    continue;
                }
                '/' if self.rest.starts_with("//") => {
                    self.skip_to("\n", 0);
                    continue;
                }
                '/' if self.rest.starts_with("/*") => {
                    self.skip_to("*/", 2);
                    continue;
                }
                '/' if self.begins_an_expression() => {
                    self.regex();
                    continue;
                }
                ' ' | '\t' | '\n' | '\r' => {
                    self.blank();
                    continue;
                }
                _ => {}
            }
            self.take(next.len_utf8());
        }
    }

    fn take(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at(bytes);
        self.out.push_str(taken);
        self.rest = rest;
    }

    fn skip_to(&mut self, end: &str, more: usize) {
        let bytes = self.rest.find(end).map_or(self.rest.len(), |at| at + more);
        self.rest = &self.rest[bytes..];
    }

    /// Blanks between two words are one; a line end stays, as it may end a statement, but not where nothing can end.
    fn blank(&mut self) {
        let rest = self.rest.trim_start();
        let blanks = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        let before = self.out.chars().next_back();
        if blanks.contains('\n') {
            if before.is_some_and(|before| !['\n', '{', '(', '[', ','].contains(&before)) && !rest.is_empty()
            {
                self.out.push('\n');
            }
            return;
        }
        let beside = |sign: Option<char>| sign.is_none_or(|sign| sign == '\n' || SIGNS.contains(&sign));
        if !beside(before) && !beside(rest.chars().next()) {
            self.out.push(' ');
        }
    }

    /// A `/` here begins a regular expression: before it stands nothing that could be divided.
    fn begins_an_expression(&self) -> bool {
        self.out.trim_end().chars().next_back().is_none_or(|before| "(,=:[!&|?{};>".contains(before))
    }

    fn regex(&mut self) {
        let mut in_class = false;
        let mut escaped = false;
        for (at, sign) in self.rest.char_indices().skip(1) {
            match sign {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '[' => in_class = true,
                ']' => in_class = false,
                '/' if !in_class => return self.take(at + 1),
                _ => {}
            }
        }
        self.take(self.rest.len());
    }

    fn string(&mut self, quote: char) {
        let end = end_of(&self.rest[1..], quote);
        let text = &self.rest[1..=end];
        self.rest = &self.rest[(end + 2).min(self.rest.len())..];
        let said =
            (quote == '"' || text.contains(' ')).then(|| (self.say)(&text.replace("\\'", "'"))).flatten();
        self.out.push(quote);
        match said {
            Some(said) => self.out.push_str(&said.replace(quote, &format!("\\{quote}"))),
            None => self.out.push_str(text),
        }
        self.out.push(quote);
    }

    fn template(&mut self) {
        let mut texts = Vec::new();
        let mut places = Vec::new();
        self.rest = &self.rest[1..];
        loop {
            let end = self.rest.find("${").map_or(usize::MAX, |at| at).min(end_of(self.rest, '`'));
            let (text, rest) = self.rest.split_at(end.min(self.rest.len()));
            texts.push(text);
            if !rest.starts_with("${") {
                self.rest = rest.get(1..).unwrap_or_default();
                break;
            }
            self.rest = &rest[2..];
            let outer = std::mem::take(&mut self.out);
            self.code();
            places.push(std::mem::replace(&mut self.out, outer));
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        let mut english = texts[0].to_owned();
        for (text, place) in texts[1..].iter().zip(1..) {
            english.push_str(&format!("{{{place}}}{text}"));
        }
        let said = english.contains(' ').then(|| (self.say)(&english)).flatten().unwrap_or(english);
        self.out.push('`');
        let mut rest = said.as_str();
        while let Some((before, number, after)) = first_place(rest) {
            self.out.push_str(before);
            match places.get(number.wrapping_sub(1)) {
                Some(code) => self.out.push_str(&format!("${{{code}}}")),
                None => self.out.push_str(&format!("{{{number}}}")),
            }
            rest = after;
        }
        self.out.push_str(rest);
        self.out.push('`');
    }
}

/// `a {2} b`: what stands before the place, its number, and what stands behind it.
fn first_place(text: &str) -> Option<(&str, usize, &str)> {
    let mut from = 0;
    loop {
        let begin = from + text[from..].find('{')?;
        let end = begin + text[begin..].find('}')?;
        if let Ok(number) = text[begin + 1..end].parse() {
            return Some((&text[..begin], number, &text[end + 1..]));
        }
        from = begin + 1;
    }
}

/// Where a string ends that began just before this text.
fn end_of(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, sign) in text.char_indices() {
        match sign {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if sign == quote => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_english(script: &str) -> String {
        lean(script, &|_| None)
    }

    #[test]
    fn what_is_for_people_who_read_the_script_is_left_out() {
        let text =
            "// one\n/** two\n * more\n */\nlet a = 1; // kept no more\n\n  /** three */\n\tb( x , y ) ;\n";
        assert_eq!(in_english(text), "let a=1;\nb(x,y);\n".trim_end());
        assert_eq!(in_english("return a in b ? c - -d : e + +f;"), "return a in b?c - -d:e + +f;");
        assert_eq!(in_english("f({\n  a: [\n    1,\n    2,\n  ],\n})\ng()"), "f({a:[1,2,],})\ng()");
        assert_eq!(in_english("const f = async (x) => { await x; };"), "const f=async(x)=>{await x;};");
    }

    #[test]
    fn strings_templates_and_regular_expressions_stay_as_they_are() {
        for text in [
            r"a('// no comment  /* at all */')",
            r"b.replace(/ '\/[/ ]/g,' ')",
            r"c(`two  blanks ${d}  ${e?`in ${f} side`:''}  end`)",
            r"'it\'s'",
            r#""said""#,
            "x=y / z;\nw='/'",
        ] {
            assert_eq!(in_english(text), text);
        }
        assert_eq!(in_english("`${ a ? { b : 1 } : 2 }`"), "`${a?{b:1}:2}`");
    }

    #[test]
    fn what_is_said_is_said_in_another_language() {
        let say = |text: &str| match text {
            "down" => Some("fora do ar".to_owned()),
            "it's over" => Some("d'água".to_owned()),
            "{1} of {2} so far" => Some("até agora {2}: {1}".to_owned()),
            _ => None,
        };
        assert_eq!(lean("x === 'down' ? \"down\" : \"up\"", &say), "x==='down'?\"fora do ar\":\"up\"");
        assert_eq!(lean(r"'it\'s over'", &say), r"'d\'água'");
        assert_eq!(
            lean("`${a} of ${b.c('it\\'s over')} so far`", &say),
            r"`até agora ${b.c('d\'água')}: ${a}`"
        );
        assert_eq!(lean("`${a}/${b}`", &say), "`${a}/${b}`");
    }
}
