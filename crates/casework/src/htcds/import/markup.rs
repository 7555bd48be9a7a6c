//! The start tags of a well-formed part, one after another: enough to see which rows are hidden.
//!
//! Not a parser of XML. Values of cells are read by the workbook reader alone; a mistake made here can cost a remark in
//! the report, never a value. Refuses nothing and never fails: what it does not understand it skips.

/// One start tag.
pub(super) struct Tag<'a> {
    /// Its name without a namespace prefix.
    pub(super) name: &'a str,
    attributes: &'a str,
}

impl<'a> Tag<'a> {
    /// The raw value of an attribute, whatever its prefix. Character references are left as they are.
    pub(super) fn attr(&self, wanted: &str) -> Option<&'a str> {
        let mut rest = self.attributes;
        loop {
            let (name, after) = rest.split_once('=')?;
            let after = after.trim_start();
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let (value, next) = after.get(1..)?.split_once(quote)?;
            if local(name.trim()) == wanted {
                return Some(value);
            }
            rest = next;
        }
    }
}

/// All start tags of `text`; comments, declarations and character data are passed over.
pub(super) fn tags(text: &str) -> impl Iterator<Item = Tag<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = rest.get(rest.find('<')? + 1..)?;
            if let Some(comment) = rest.strip_prefix("!--") {
                rest = comment.split_once("-->")?.1;
            } else if let Some(data) = rest.strip_prefix("![CDATA[") {
                rest = data.split_once("]]>")?.1;
            } else if rest.starts_with(['/', '?', '!']) {
                rest = rest.split_once('>')?.1;
            } else {
                let end = tag_end(rest)?;
                let (tag, after) = (rest.get(..end)?, rest.get(end + 1..)?);
                rest = after;
                let split = tag.find(|c: char| c.is_ascii_whitespace() || c == '/').unwrap_or(tag.len());
                return Some(Tag { name: local(tag.get(..split)?), attributes: tag.get(split..)? });
            }
        }
    })
}

/// Where the tag that starts `text` ends: the first `>` outside quotes.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = None;
    text.bytes().position(|byte| {
        match (quote, byte) {
            (None, b'>') => return true,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if byte == open => quote = None,
            _ => {}
        }
        false
    })
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_attributes_are_found_past_quotes_comments_and_data() {
        let text = "<?xml version='1.0'?><a:b c='1>2' d:e = \"f\"/><!-- <no/> --><![CDATA[<no>]]><g>h</g>";
        let found: Vec<_> = tags(text).map(|t| (t.name, t.attr("c"), t.attr("e"))).collect();
        assert_eq!(found, [("b", Some("1>2"), Some("f")), ("g", None, None)]);
    }

    #[test]
    fn broken_markup_ends_the_walk_quietly() {
        for text in ["<", "<a", "<a b='", "<!--", "<![CDATA[", "<é='1'>", "a>b<", "<a b=c d='e'>", "<a ='1'>"] {
            assert!(tags(text).map(|t| t.attr("b").map_or(0, str::len)).sum::<usize>() < 9, "{text}");
        }
    }
}
