//! JSON as models read it, by a reader that shares nothing with those under test.

/// A value, and how it is written.
#[derive(Debug, Clone)]
pub struct Json<'a> {
    /// Its text.
    pub raw: &'a str,
    /// What it is.
    pub kind: Kind<'a>,
}

/// What a value is.
#[derive(Debug, Clone)]
pub enum Kind<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Any number; the text has its digits.
    Number,
    /// `None`: half of a surrogate pair is in it.
    Text(Option<String>),
    /// In order.
    List(Vec<Json<'a>>),
    /// In order, keys that stand twice too.
    Object(Vec<Member<'a>>),
}

/// A field of an object; no name is one with half of a surrogate pair in it.
pub type Member<'a> = (Option<String>, Json<'a>);

impl<'a> Json<'a> {
    /// What is JSON by the grammar; `None` for what is not, and for what nests deeper than 1,000.
    pub fn lenient(text: &'a str) -> Option<Json<'a>> {
        let mut cursor = Cursor { text, place: 0 };
        let value = cursor.value(1_000)?;
        cursor.space();
        (cursor.place == text.len()).then_some(value)
    }

    /// What is JSON by the policy too: each key once, no number that 64 bits cannot hold, text that is text, and no more than
    /// so many levels of lists and objects.
    pub fn strict(text: &'a str, levels: usize) -> Option<Json<'a>> {
        Json::lenient(text).filter(|value| value.is_strict(levels))
    }

    fn is_strict(&self, levels: usize) -> bool {
        match &self.kind {
            Kind::Null | Kind::Bool(_) => true,
            Kind::Number if self.raw.contains(['.', 'e', 'E']) => {
                self.raw.parse::<f64>().is_ok_and(f64::is_finite)
            }
            Kind::Number => self.raw.parse::<i64>().is_ok() || self.raw.parse::<u64>().is_ok(),
            Kind::Text(text) => text.is_some(),
            Kind::List(list) => levels > 0 && list.iter().all(|item| item.is_strict(levels - 1)),
            Kind::Object(object) => {
                levels > 0
                    && object.iter().enumerate().all(|(at, (name, value))| {
                        let is_new = object[..at].iter().all(|(before, _)| before != name);
                        name.is_some() && is_new && value.is_strict(levels - 1)
                    })
            }
        }
    }

    /// A field of an object; null is as good as nothing.
    pub fn field(&self, name: &str) -> Option<&Json<'a>> {
        let (_, value) = self.object()?.iter().find(|(field, _)| field.as_deref() == Some(name))?;
        (!matches!(value.kind, Kind::Null)).then_some(value)
    }

    /// The fields of an object.
    pub fn object(&self) -> Option<&[Member<'a>]> {
        match &self.kind {
            Kind::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn list(&self) -> Option<&[Json<'a>]> {
        match &self.kind {
            Kind::List(list) => Some(list),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => text.as_deref(),
            _ => None,
        }
    }

    /// A boolean.
    pub fn boolean(&self) -> Option<bool> {
        match self.kind {
            Kind::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// A number that is written as digits alone.
    pub fn whole(&self) -> Option<u64> {
        if matches!(self.kind, Kind::Number) { self.raw.parse().ok() } else { None }
    }
}

struct Cursor<'a> {
    text: &'a str,
    place: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.place).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.place += 1;
        }
    }

    /// Goes over a byte, if it is this one.
    fn take(&mut self, byte: u8) -> bool {
        let is_it = self.peek() == Some(byte);
        self.place += usize::from(is_it);
        is_it
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.place;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.place += 1;
        }
        (self.place > start).then_some(())
    }

    fn value(&mut self, levels: usize) -> Option<Json<'a>> {
        self.space();
        let start = self.place;
        let kind = match self.peek()? {
            b'{' => Kind::Object(self.items(b'}', levels, |cursor, levels| {
                cursor.space();
                let name = cursor.string()?;
                cursor.space();
                if !cursor.take(b':') {
                    return None;
                }
                Some((name, cursor.value(levels)?))
            })?),
            b'[' => Kind::List(self.items(b']', levels, Cursor::value)?),
            b'"' => Kind::Text(self.string()?),
            b'-' | b'0'..=b'9' => self.number()?,
            _ => {
                let words = [("null", Kind::Null), ("true", Kind::Bool(true)), ("false", Kind::Bool(false))];
                let (word, kind) =
                    words.into_iter().find(|(word, _)| self.text[self.place..].starts_with(word))?;
                self.place += word.len();
                kind
            }
        };
        Some(Json { raw: &self.text[start..self.place], kind })
    }

    fn items<T>(
        &mut self,
        end: u8,
        levels: usize,
        item: impl Fn(&mut Self, usize) -> Option<T>,
    ) -> Option<Vec<T>> {
        let levels = levels.checked_sub(1)?;
        self.place += 1;
        self.space();
        let mut items = Vec::new();
        if self.take(end) {
            return Some(items);
        }
        loop {
            items.push(item(self, levels)?);
            self.space();
            if self.take(end) {
                return Some(items);
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn number(&mut self) -> Option<Kind<'a>> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Some(Kind::Number)
    }

    fn string(&mut self) -> Option<Option<String>> {
        let start = self.place;
        if !self.take(b'"') {
            return None;
        }
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    self.place += 1;
                    match self.peek()? {
                        b'u' => {
                            let digits = self.text.as_bytes().get(self.place + 1..self.place + 5)?;
                            if !digits.iter().all(u8::is_ascii_hexdigit) {
                                return None;
                            }
                        }
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        _ => return None,
                    }
                }
                0..0x20 => return None,
                _ => {}
            }
            self.place += 1;
        }
        self.place += 1;
        Some(serde_json::from_str(&self.text[start..self.place]).ok())
    }
}
