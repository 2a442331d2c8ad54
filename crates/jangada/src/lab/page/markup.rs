//! What a browser gets of a page: its texts, and what stands in `title`, `placeholder` and `aria-label`, in the language that
//! people read. `<style>` and `<script>` stay as they are.

use super::script::Say;

/// Attributes that people read.
const READ: [&str; 3] = [" title=\"", " placeholder=\"", " aria-label=\""];

/// The page in another language.
pub fn said(html: &str, say: Say<'_>) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(begin) = rest.find('<') {
        text(&rest[..begin], say, &mut out);
        rest = &rest[begin..];
        let end = rest.find('>').map_or(rest.len(), |at| at + 1);
        tag(&rest[..end], say, &mut out);
        let closing = ["style", "script"].into_iter().find(|name| rest[1..].starts_with(name));
        let opened = end;
        let end = closing.and_then(|name| rest.find(&format!("</{name}"))).unwrap_or(opened);
        out.push_str(&rest[opened..end.max(opened)]);
        rest = &rest[end.max(opened)..];
    }
    text(rest, say, &mut out);
    out
}

/// Texts keep the blanks around them.
fn text(text: &str, say: Say<'_>, out: &mut String) {
    let words = text.trim();
    match say(words).filter(|_| !words.is_empty()) {
        Some(said) => out.push_str(&text.replacen(words, &said, 1)),
        None => out.push_str(text),
    }
}

fn tag(tag: &str, say: Say<'_>, out: &mut String) {
    let mut tag = tag.to_owned();
    for attribute in READ {
        let Some(begin) = tag.find(attribute).map(|at| at + attribute.len()) else { continue };
        let end = begin + tag[begin..].find('"').unwrap_or(0);
        if let Some(said) = say(&tag[begin..end]) {
            tag.replace_range(begin..end, &said);
        }
    }
    out.push_str(&tag);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_titles_are_said_and_nothing_else() {
        let say = |text: &str| (text.len() > 1).then(|| text.to_uppercase());
        let html = "<p class=\"a b\" title=\"the end\">\n  some <b>text</b> </p><style>p { a: b }</style><i>x</i>tail";
        let wanted = "<p class=\"a b\" title=\"THE END\">\n  SOME <b>TEXT</b> </p><style>p { a: b }</style><i>x</i>TAIL";
        assert_eq!(said(html, &say), wanted);
    }
}
