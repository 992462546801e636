//! Pickles read as inert data (Python's pickle protocol 0 to 5, `pickletools` as the definition).
//!
//! The machine builds values in an arena and nothing else: a global is a pair of names, a call is the pair of what is called and
//! its arguments. Nothing is imported, looked up or run. Opcodes, values and nesting are bounded, and since values are indices
//! into the arena, neither building nor dropping them recurses.

use crate::formats::FormatError;
use crate::formats::error::shown;
use crate::tensor::Span;
use std::rc::Rc;

/// Most opcodes of one pickle.
const MOST_OPCODES: u64 = 20_000_000;
/// Most references that calls of `list` and the like may copy.
const MOST_COPIED: usize = 4_000_000;
/// Most values of one pickle.
const MOST_VALUES: usize = 4_000_000;

/// Index of a value in its arena.
pub(super) type Id = u32;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    /// Bytes: where they lie in what was read.
    Bytes(Span),
    /// An integer too large for `Int`; its digits are of no use here.
    Large,
    /// Tuples, lists and sets.
    Sequence(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global {
        module: Rc<str>,
        name: Rc<str>,
    },
    /// A call of something, with the state set on its result and items put into it.
    Object {
        callee: Id,
        arguments: Id,
        state: Option<Id>,
        items: Vec<(Id, Id)>,
    },
    /// A reference that only the file around the pickle can resolve.
    Persistent(Id),
}

/// A pickle's values.
#[derive(Debug, Default)]
pub(super) struct Pickle {
    values: Vec<Value>,
    pub root: Id,
    /// Bytes that the pickle took.
    pub len: usize,
}

impl Pickle {
    /// The value of an index.
    pub fn get(&self, id: Id) -> &Value {
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    /// The elements of a tuple or list.
    pub fn sequence(&self, id: Id) -> Option<&[Id]> {
        if let Value::Sequence(items) = self.get(id) { Some(items) } else { None }
    }

    /// A whole number, true and false among them.
    pub fn int(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            Value::Int(n) => Some(*n),
            Value::Bool(b) => Some(i64::from(*b)),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self, id: Id) -> Option<&str> {
        if let Value::Text(text) = self.get(id) { Some(text) } else { None }
    }

    /// A global as module and name.
    pub fn global(&self, id: Id) -> Option<(&str, &str)> {
        if let Value::Global { module, name } = self.get(id) { Some((module, name)) } else { None }
    }

    /// The indices of all values, in order.
    pub fn ids(&self) -> std::ops::Range<Id> {
        0..self.values.len() as Id
    }

    /// All globals, in order.
    pub fn globals(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..self.values.len() as Id).filter_map(|id| self.global(id))
    }
}

/// Whether a file that starts with `head` may be a pickle: a protocol mark, or protocol 0's first opcodes.
pub(in crate::formats) fn is_pickle(head: &[u8]) -> bool {
    match head {
        // Protocol 0 and 1 have no mark: an opening opcode, and no text that looks like words.
        [b'c', rest @ ..] => {
            let mut lines = rest.split(|b| *b == b'\n');
            let name = |line: Option<&[u8]>| {
                line.is_some_and(|line| {
                    !line.is_empty() && line.iter().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(b))
                })
            };
            name(lines.next()) && name(lines.next())
        }
        [0x80, 0..=5, ..]
        | [b'(', b'd' | b'l' | b't' | b'i' | b'c' | b'S' | b'V' | b'p', ..]
        | [b'}' | b']' | b')', b'q' | b'.' | b'(', ..] => true,
        _ => false,
    }
}

/// Reads one pickle from the start of `bytes`, which lie at `base` in the file.
///
/// [`FormatErrorKind::Truncated`] means that more bytes may help.
pub(super) fn read(bytes: &[u8], base: u64) -> Result<Pickle, FormatError> {
    let mut machine = Machine {
        bytes,
        base,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        copied: 0,
        pickle: Pickle::default(),
    };
    machine.run()?;
    machine.pickle.len = machine.at;
    Ok(machine.pickle)
}

struct Machine<'a> {
    bytes: &'a [u8],
    base: u64,
    at: usize,
    stack: Vec<Id>,
    /// Heights of the stack at each mark.
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
    /// References copied by calls so far: a call of a few bytes may copy a list of any length, again and again.
    copied: usize,
    pickle: Pickle,
}

impl<'a> Machine<'a> {
    fn wrong(&self, expected: &str, found: impl Into<String>) -> FormatError {
        let part = format!("the pickle at byte {}", self.base + self.at as u64);
        FormatError::damaged(part, expected, found)
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], FormatError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = usize::try_from(count).ok().and_then(|count| rest.get(..count));
        let taken = taken.ok_or_else(|| {
            FormatError::truncated("the pickle", self.base + self.at as u64, count, rest.len() as u64)
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    /// A little-endian number of `N` bytes.
    fn number<const N: usize>(&mut self) -> Result<u64, FormatError> {
        let bytes = self.take(N as u64)?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn line(&mut self) -> Result<&'a [u8], FormatError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|b| *b == b'\n').map_or(rest.len() + 1, |len| len + 1);
        let line = self.take(len as u64)?;
        Ok(line.strip_suffix(b"\n").unwrap_or(line))
    }

    fn text_of(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn push(&mut self, value: Value) -> Result<(), FormatError> {
        if self.pickle.values.len() >= MOST_VALUES {
            return Err(FormatError::too_large(
                "the pickle, in values,",
                MOST_VALUES as u64 + 1,
                MOST_VALUES as u64,
            ));
        }
        self.pickle.values.push(value);
        self.stack.push(self.pickle.values.len() as Id - 1);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, FormatError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() > floor
            && let Some(id) = self.stack.pop()
        {
            return Ok(id);
        }
        Err(self.wrong("a value on the stack", "an empty stack"))
    }

    fn top(&self) -> Result<Id, FormatError> {
        self.stack.last().copied().ok_or_else(|| self.wrong("a value on the stack", "an empty stack"))
    }

    /// What was pushed since the last mark.
    fn marked(&mut self) -> Result<Vec<Id>, FormatError> {
        let mark = self.marks.pop().ok_or_else(|| self.wrong("a mark on the stack", "none"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, FormatError> {
        let (pairs, odd) = items.as_chunks::<2>();
        if odd.is_empty() {
            Ok(pairs.iter().map(|[k, v]| (*k, *v)).collect())
        } else {
            Err(self.wrong("keys with values", "a key alone"))
        }
    }

    fn remember(&mut self, key: u64) -> Result<(), FormatError> {
        let id = self.top()?;
        // A memo key cannot be larger than the number of opcodes read, but for pickles made to hurt.
        let Some(key) = usize::try_from(key).ok().filter(|key| *key <= MOST_VALUES) else {
            return Err(self.wrong("a memo key in order", key.to_string()));
        };
        if key >= self.memo.len() {
            self.memo.resize(key + 1, None);
        }
        if let Some(slot) = self.memo.get_mut(key) {
            *slot = Some(id);
        }
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<(), FormatError> {
        let found = usize::try_from(key).ok().and_then(|key| *self.memo.get(key)?);
        let id = found.ok_or_else(|| self.wrong("a memo key that was set", key.to_string()))?;
        self.stack.push(id);
        Ok(())
    }

    fn put_items(&mut self, pairs: Vec<(Id, Id)>) -> Result<(), FormatError> {
        let target = self.top()?;
        match self.pickle.values.get_mut(target as usize) {
            Some(Value::Dict(items) | Value::Object { items, .. }) => items.extend(pairs),
            _ => return Err(self.wrong("a dictionary to put items into", "another value")),
        }
        Ok(())
    }

    fn append(&mut self, more: Vec<Id>) -> Result<(), FormatError> {
        let target = self.top()?;
        match self.pickle.values.get_mut(target as usize) {
            Some(Value::Sequence(items)) => items.extend(more),
            Some(Value::Object { .. }) => {}
            _ => return Err(self.wrong("a list to append to", "another value")),
        }
        Ok(())
    }

    fn call(&mut self, callee: Id, arguments: Id) -> Result<(), FormatError> {
        let first = self.pickle.sequence(arguments).and_then(|a| a.first().copied());
        self.copied += first.and_then(|list| self.pickle.sequence(list)).map_or(0, <[Id]>::len);
        if self.copied > MOST_COPIED {
            let part = "the pickle, in values that calls are made on,";
            return Err(FormatError::too_large(part, self.copied as u64, MOST_COPIED as u64));
        }
        let value = match self.pickle.global(callee) {
            Some(
                ("collections", "OrderedDict" | "defaultdict" | "Counter")
                | ("builtins" | "__builtin__", "dict"),
            ) => {
                let pairs = first.and_then(|list| self.pickle.sequence(list)).unwrap_or_default();
                let pair = |id: &Id| match self.pickle.sequence(*id) {
                    Some([key, value]) => Some((*key, *value)),
                    _ => None,
                };
                Value::Dict(pairs.iter().filter_map(pair).collect())
            }
            Some(
                ("torch", "Size") | ("builtins" | "__builtin__", "list" | "tuple" | "set" | "frozenset"),
            ) => Value::Sequence(first.and_then(|id| self.pickle.sequence(id)).unwrap_or_default().to_vec()),
            _ => Value::Object { callee, arguments, state: None, items: Vec::new() },
        };
        self.push(value)
    }

    fn global(&mut self, module: Rc<str>, name: Rc<str>) -> Result<(), FormatError> {
        self.push(Value::Global { module, name })
    }

    fn run(&mut self) -> Result<(), FormatError> {
        for _ in 0..MOST_OPCODES {
            let opcode = self.number::<1>()? as u8;
            if opcode == b'.' {
                self.pickle.root = self.pop()?;
                return Ok(());
            }
            self.step(opcode)?;
        }
        Err(FormatError::too_large("the pickle, in opcodes,", MOST_OPCODES + 1, MOST_OPCODES))
    }

    fn step(&mut self, opcode: u8) -> Result<(), FormatError> {
        match opcode {
            // Protocol mark and frames carry nothing.
            0x80 => self.take(1).map(|_| ()),
            0x95 => self.take(8).map(|_| ()),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => {
                // POP drops a mark that lies on top.
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                    return Ok(());
                }
                self.pop().map(|_| ())
            }
            b'1' => self.marked().map(|_| ()),
            b'2' => {
                let id = self.top()?;
                self.stack.push(id);
                Ok(())
            }
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'I' | b'L' | b'F' | b'J' | b'K' | b'M' | 0x8a | 0x8b | b'G' => self.numeral(opcode),
            b'S' | b'V' | b'T' | b'U' | b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96 => self.string(opcode),
            b']' | b')' | 0x8f => self.push(Value::Sequence(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b'l' | b't' | 0x91 => {
                let items = self.marked()?;
                self.push(Value::Sequence(items))
            }
            b'd' => {
                let items = self.marked()?;
                let pairs = self.pairs(&items)?;
                self.push(Value::Dict(pairs))
            }
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0..=opcode - 0x85 {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Value::Sequence(items))
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            b'e' | 0x90 => {
                let items = self.marked()?;
                self.append(items)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.put_items(vec![(key, value)])
            }
            b'u' => {
                let items = self.marked()?;
                let pairs = self.pairs(&items)?;
                self.put_items(pairs)
            }
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.memoise(opcode),
            b'c' | 0x93 | b'i' | b'o' | b'R' | 0x81 | 0x92 | b'b' => self.construct(opcode),
            b'P' => {
                let text = Self::text_of(self.line()?);
                self.push(Value::Text(text.into()))?;
                let id = self.pop()?;
                self.push(Value::Persistent(id))
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id))
            }
            0x82..=0x84 => {
                let code = self.take(1 << (opcode - 0x82))?;
                let name = format!("{code:?}");
                self.global(Rc::from("extension registry"), name.into())
            }
            0x97 => self.push(Value::Bytes(Span { offset: 0, len: 0 })),
            0x98 => Ok(()),
            other => {
                self.at -= 1;
                Err(self.wrong("a pickle opcode", format!("byte {other:#04x}")))
            }
        }
    }

    fn numeral(&mut self, opcode: u8) -> Result<(), FormatError> {
        let value = match opcode {
            b'J' => Value::Int(i64::from(self.number::<4>()? as u32 as i32)),
            b'K' => Value::Int(self.number::<1>()? as i64),
            b'M' => Value::Int(self.number::<2>()? as i64),
            b'G' => {
                let bytes = self.take(8)?;
                Value::Float(bytes.first_chunk().map_or(0.0, |b| f64::from_be_bytes(*b)))
            }
            0x8a | 0x8b => {
                let len = if opcode == 0x8a { self.number::<1>()? } else { self.number::<4>()? };
                long(self.take(len)?)
            }
            _ => {
                let line = Self::text_of(self.line()?);
                let text = line.trim_end_matches('L');
                match (opcode, text) {
                    (b'I', "01") => Value::Bool(true),
                    (b'I', "00") => Value::Bool(false),
                    (b'F', "nan") => Value::Float(f64::NAN),
                    (b'F', "inf") => Value::Float(f64::INFINITY),
                    (b'F', "-inf") => Value::Float(f64::NEG_INFINITY),
                    (b'F', _) => {
                        let number = crate::number::parse(text);
                        Value::Float(number.ok_or_else(|| self.wrong("a number", shown(text)))?)
                    }
                    _ if text.parse::<i64>().is_ok() => Value::Int(text.parse().unwrap_or(0)),
                    // A whole number beyond 64 bits.
                    _ if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'-') => {
                        Value::Large
                    }
                    _ => return Err(self.wrong("a whole number", shown(text))),
                }
            }
        };
        self.push(value)
    }

    fn string(&mut self, opcode: u8) -> Result<(), FormatError> {
        let len = match opcode {
            b'S' | b'V' => {
                let line = Self::text_of(self.line()?);
                let quoted = |quote: char| line.strip_prefix(quote).and_then(|l| l.strip_suffix(quote));
                let text = quoted('\'').or_else(|| quoted('"')).unwrap_or(&line).to_owned();
                return self.push(Value::Text(text.into()));
            }
            b'T' | b'X' | b'B' => self.number::<4>()?,
            b'U' | 0x8c | b'C' => self.number::<1>()?,
            _ => self.number::<8>()?,
        };
        let bytes = self.take(len)?;
        let is_text = matches!(opcode, b'T' | b'U' | b'X' | 0x8c | 0x8d);
        let offset = (self.at - bytes.len()) as u64;
        let located = Value::Bytes(Span { offset, len });
        self.push(if is_text { Value::Text(Self::text_of(bytes).into()) } else { located })
    }

    fn memoise(&mut self, opcode: u8) -> Result<(), FormatError> {
        let key = match opcode {
            b'p' | b'g' => {
                let line = Self::text_of(self.line()?);
                line.parse().map_err(|_| self.wrong("a memo key", shown(&line)))?
            }
            b'q' | b'h' => self.number::<1>()?,
            b'r' | b'j' => self.number::<4>()?,
            _ => self.memo.len() as u64,
        };
        if matches!(opcode, b'g' | b'h' | b'j') { self.recall(key) } else { self.remember(key) }
    }

    fn construct(&mut self, opcode: u8) -> Result<(), FormatError> {
        match opcode {
            b'c' => {
                let module = Self::text_of(self.line()?).into();
                let name = Self::text_of(self.line()?).into();
                self.global(module, name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id| match self.pickle.get(id) {
                    Value::Text(text) => Some(Rc::clone(text)),
                    _ => None,
                };
                let (Some(module), Some(name)) = (text(module), text(name)) else {
                    return Err(self.wrong("texts as a global's names", "other values"));
                };
                self.global(module, name)
            }
            b'i' => {
                let module = Self::text_of(self.line()?).into();
                let name = Self::text_of(self.line()?).into();
                let arguments = self.marked()?;
                self.global(module, name)?;
                let callee = self.pop()?;
                self.call_with(callee, arguments)
            }
            b'o' => {
                let mut arguments = self.marked()?;
                if arguments.is_empty() {
                    return Err(self.wrong("a class to make", "nothing"));
                }
                let callee = arguments.remove(0);
                self.call_with(callee, arguments)
            }
            b'R' | 0x81 => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                self.call(callee, arguments)
            }
            0x92 => {
                let (_, arguments, callee) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(callee, arguments)
            }
            _ => {
                let new_state = self.pop()?;
                let target = self.top()?;
                // State of dictionaries and the like, such as `_metadata`, is not theirs to keep.
                if let Some(Value::Object { state, .. }) = self.pickle.values.get_mut(target as usize) {
                    *state = Some(new_state);
                }
                Ok(())
            }
        }
    }

    fn call_with(&mut self, callee: Id, arguments: Vec<Id>) -> Result<(), FormatError> {
        self.push(Value::Sequence(arguments))?;
        let arguments = self.pop()?;
        self.call(callee, arguments)
    }
}

/// A little-endian two's complement number of any length.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Large;
    }
    let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    let mut word = [fill; 8];
    for (slot, byte) in word.iter_mut().zip(bytes) {
        *slot = *byte;
    }
    Value::Int(i64::from_le_bytes(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_of_every_protocol_read() {
        // pickle.dumps({"a": [1, 2.5, None, True], "b": (-3, "x")}, p) for p in 0, 2, 4
        let protocol_0: &[u8] = b"(dp0\nVa\np1\n(lp2\nI1\naF2.5\naNaI01\nasVb\np3\n(I-3\nVx\np4\ntp5\ns.";
        let protocol_2: &[u8] =
            b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01G@\x04\x00\x00\x00\x00\x00\x00N\x88eX\x01\x00\x00\x00bq\x03J\xfd\xff\xff\xffX\x01\x00\x00\x00xq\x04\x86q\x05u.";
        let protocol_4: &[u8] =
            b"\x80\x04\x95\x24\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01G@\x04\x00\x00\x00\x00\x00\x00N\x88e\x8c\x01b\x94J\xfd\xff\xff\xff\x8c\x01x\x94\x86\x94u.";
        for bytes in [protocol_0, protocol_2, protocol_4] {
            assert!(is_pickle(bytes));
            let pickle = read(bytes, 0).unwrap();
            assert_eq!(pickle.len, bytes.len());
            let Value::Dict(items) = pickle.get(pickle.root) else { panic!("no dictionary") };
            let [(a, list), (b, tuple)] = items[..] else { panic!("two items") };
            assert_eq!((pickle.text(a), pickle.text(b)), (Some("a"), Some("b")));
            let list: Vec<&Value> = pickle.sequence(list).unwrap().iter().map(|id| pickle.get(*id)).collect();
            assert_eq!(list, [&Value::Int(1), &Value::Float(2.5), &Value::None, &Value::Bool(true)]);
            assert_eq!(pickle.int(pickle.sequence(tuple).unwrap()[0]), Some(-3));
        }
    }

    #[test]
    fn a_call_is_only_ever_a_pair_of_names_and_arguments() {
        let pickle = read(b"cos\nsystem\n(S'rm -rf /'\ntR.", 0).unwrap();
        let Value::Object { callee, .. } = pickle.get(pickle.root) else { panic!("no object") };
        assert_eq!(pickle.global(*callee), Some(("os", "system")));
    }

    #[test]
    fn damaged_pickles_are_refused_with_their_place() {
        let sentence = |bytes: &[u8]| read(bytes, 100).unwrap_err().to_string();
        assert_eq!(
            sentence(b"\x80\x02."),
            "the pickle at byte 103: expected a value on the stack, found an empty stack"
        );
        assert_eq!(sentence(b"K"), "the pickle needs 1 bytes at byte 101 but the file has 0 there");
        assert_eq!(sentence(b"\xff"), "the pickle at byte 100: expected a pickle opcode, found byte 0xff");
        assert_eq!(sentence(b"h\x05"), "the pickle at byte 102: expected a memo key that was set, found 5");
        assert!(sentence(b"r\xff\xff\xff\xff").contains("empty stack"));
        assert!(sentence(b"Nr\xff\xff\xff\xff").contains("memo key in order"));
        assert!(sentence(b"X\xff\xff\xff\xffab").contains("needs 4294967295 bytes"));
        assert!(sentence(b"t").contains("a mark on the stack"));
    }

    #[test]
    fn calls_that_copy_a_long_list_again_and_again_are_refused() {
        let mut bytes = b"c__builtin__\nlist\nq\x00(".to_vec();
        bytes.extend(std::iter::repeat_n(b'N', 100_000));
        bytes.extend(b"l\x85q\x01");
        bytes.extend(std::iter::repeat_n(*b"h\x00h\x01R0", 100_000).flatten());
        bytes.push(b'.');
        let sentence = read(&bytes, 0).unwrap_err().to_string();
        assert!(sentence.starts_with("the pickle, in values that calls are made on, declares"), "{sentence}");
    }

    #[test]
    fn deep_nesting_neither_recurses_nor_hangs() {
        let mut bytes = vec![b']'; 1];
        for _ in 0..100_000 {
            bytes.extend(b"]a".iter().rev().copied().rev());
            bytes.push(b'0');
            bytes.push(b']');
        }
        let _ = read(&bytes, 0);
        let mut nested = b"N".to_vec();
        nested.extend(std::iter::repeat_n(0x85, 1_000_000));
        nested.push(b'.');
        drop(read(&nested, 0).unwrap());
    }
}
