//! Requests of the EC2 query protocol, and a minimal XML reader for the answers.

/// A form: key and value pairs in the order of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    pairs: Vec<(String, String)>,
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.extend(u8::from_str_radix(&hex, 16));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

impl Form {
    pub(super) fn new(pairs: &[(&str, &str)]) -> Self {
        Self { pairs: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() }
    }

    pub(super) fn parse(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let pair = |p: &str| p.split_once('=').map(|(k, v)| (decode(k), decode(v)));
        Self { pairs: text.split('&').filter_map(pair).collect() }
    }

    pub(super) fn encode(&self) -> String {
        self.pairs
            .iter()
            .map(|(k, v)| format!("{}={}", encode(k), encode(v)))
            .collect::<Vec<_>>()
            .join("&")
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    pub(super) fn values<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(k, _)| k.starts_with(prefix)).map(|(_, v)| v.as_str())
    }

    /// Returns the form without the pairs for which `leave_out` is true of the key.
    pub(super) fn without(&self, leave_out: impl Fn(&str) -> bool) -> Self {
        Self { pairs: self.pairs.iter().filter(|(k, _)| !leave_out(k)).cloned().collect() }
    }

    pub(super) fn with(mut self, key: &str, value: &str) -> Self {
        self.pairs.retain(|(k, _)| k != key);
        self.pairs.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Returns the pairs whose key contains `text`.
    pub(super) fn containing<'a>(
        &'a self,
        text: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.pairs
            .iter()
            .filter(move |(k, _)| k.contains(text))
            .map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

/// Returns the contents of all elements with the given name.
pub(super) fn all(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open)
        .skip(1)
        .filter_map(|part| part.split(&close).next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_survive_the_round_trip() {
        let form = Form::new(&[("Action", "CreateFleet"), ("Tag.1.Value", "a b/c&d=é")]);
        assert_eq!(Form::parse(form.encode().as_bytes()), form);
        assert_eq!(Form::parse(b"a=b+c").get("a"), Some("b c"));
    }

    #[test]
    fn elements_are_found_by_name() {
        assert_eq!(all("<x><id>1</id><id>2</id></x>", "id"), ["1", "2"]);
    }
}
