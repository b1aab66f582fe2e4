//! Templates: texts of a profile in which placeholders are filled in.
//!
//! `{deployment}` is the deployment's name, `{text}` the line as it is, `{json}` the line as a JSON string with its
//! quotes. Braces around anything but lower-case letters stay as they are, so JSON needs no escapes.

/// Placeholder in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// Name of the deployment.
    Deployment,
    /// Text of the line.
    Text,
    /// Text of the line, as a JSON string.
    Json,
}

impl Placeholder {
    const ALL: [Self; 3] = [Self::Deployment, Self::Text, Self::Json];

    /// Returns the placeholder's name between the braces.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "{deployment}",
            Self::Text => "{text}",
            Self::Json => "{json}",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Filled(Placeholder),
}

/// Text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// Parses a template that may use the placeholders `allowed`. The error names them.
    pub fn parse(text: &str, allowed: &[Placeholder]) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(brace) = rest.find('{') {
            let (before, from) = rest.split_at(brace);
            plain.push_str(before);
            let word = from[1..].split_once('}').map(|(word, _)| word).unwrap_or_default();
            if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                plain.push('{');
                rest = &from[1..];
                continue;
            }
            let written = &from[..word.len() + 2];
            let known = Placeholder::ALL.into_iter().find(|known| known.name() == written);
            let placeholder = known.filter(|known| allowed.contains(known)).ok_or_else(|| {
                let allowed: Vec<_> = allowed.iter().map(|allowed| allowed.name()).collect();
                format!("{written} is not a placeholder here; use {}", allowed.join(" or "))
            })?;
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Filled(placeholder));
            rest = &from[written.len()..];
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Ok(Self { pieces })
    }

    /// Tells whether the template contains the line.
    pub fn has_line(&self) -> bool {
        let line = [Piece::Filled(Placeholder::Text), Piece::Filled(Placeholder::Json)];
        self.pieces.iter().any(|piece| line.contains(piece))
    }

    /// Returns the text with all placeholders filled in.
    pub fn fill(&self, deployment: &str, line: &str) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Filled(Placeholder::Deployment) => deployment.to_owned(),
            Piece::Filled(Placeholder::Text) => line.to_owned(),
            Piece::Filled(Placeholder::Json) => serde_json::Value::from(line).to_string(),
        };
        self.pieces.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Placeholder] = &Placeholder::ALL;

    #[test]
    fn places_are_filled_in_and_other_braces_stay() {
        for (template, filled) in [
            ("", ""),
            ("/{deployment}/x", "/web/x"),
            (r#"{"text":{json},"to":"{deployment}"}"#, r#"{"text":"a \"b\"","to":"web"}"#),
            ("{text}{text}", "a \"b\"a \"b\""),
            ("{}{ x}{X}{", "{}{ x}{X}{"),
            (r#"{{json}}"#, r#"{"a \"b\""}"#),
        ] {
            assert_eq!(Template::parse(template, ALL).unwrap().fill("web", "a \"b\""), filled);
        }
    }

    #[test]
    fn an_unknown_place_is_refused_with_those_there_are() {
        let said = Template::parse("{txt}", ALL).unwrap_err();
        assert_eq!(said, "{txt} is not a placeholder here; use {deployment} or {text} or {json}");
        let said = Template::parse("/{text}", &[Placeholder::Deployment]).unwrap_err();
        assert_eq!(said, "{text} is not a placeholder here; use {deployment}");
    }
}
