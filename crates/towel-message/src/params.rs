//! Parameters of header field values: `;name`, `;name=value`, `;name="value"`.

use crate::Fault;
use crate::scan::{
    Class, after, cut_at, is_lws, is_token_char, is_value_char, offset, quoted_len, run, skip_lws,
    split, trim, trim_end, trim_start,
};
use crate::stops::Stops;

use crate::limits::MAX_PARAMS;

/// Names that are remembered while looking for one that is repeated; beyond them each name is held
/// against all before it.
const REMEMBERED: usize = 32;

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name as it was written; compared without regard to case.
    pub name: &'a [u8],
    /// The value as it was written, with its quotes if it has them.
    pub value: Option<&'a [u8]>,
}

/// The parameters of a header field value: everything from the first semicolon on.
///
/// Iterating never fails; what is malformed is passed over. [`Params::check`] tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a> {
    bytes: &'a [u8],
}

impl<'a> Params<'a> {
    /// Parameters from bytes that start at the first semicolon, or with white space before it, or
    /// that are empty.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The bytes, first semicolon included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The parameters in order.
    pub fn iter(&self) -> ParamIter<'a> {
        ParamIter { stops: Stops::new(self.bytes), at: skip_lws(self.bytes, 0) }
    }

    /// The first parameter of a name.
    pub fn get(&self, name: &str) -> Option<Param<'a>> {
        if self.bytes.is_empty() {
            return None;
        }
        self.iter().find(|p| p.name.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The value of the first parameter of a name, where it has one.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.get(name)?.value
    }

    /// Whether a parameter is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether they are well formed (generic-param of RFC 3261 section 25.1), none is there twice
    /// (section 7.3.1), and they are not too many.
    pub fn check(&self) -> Result<(), Fault> {
        let fault = |at| Fault::new(400, "Malformed Parameter", at);
        let mut rest = trim_start(self.bytes);
        let mut names: [&[u8]; REMEMBERED] = [&[]; REMEMBERED];
        let mut count = 0usize;
        while !rest.is_empty() {
            let at = offset(self.bytes, rest);
            let inner = rest.strip_prefix(b";").ok_or(fault(at))?;
            let inner = trim_start(inner);
            let (name, mut tail) = split(inner, run(inner, is_token_char));
            if name.is_empty() {
                return Err(fault(at));
            }
            tail = trim_start(tail);
            if let Some(value) = tail.strip_prefix(b"=") {
                let value = trim_start(value);
                let len = match value.first() {
                    Some(b'"') => quoted_len(value).ok_or(fault(at))?,
                    _ => run(value, is_value_char),
                };
                if len == 0 {
                    return Err(fault(at));
                }
                tail = trim_start(after(value, len));
            }
            let repeated = match names.get(..count) {
                Some(before) => before.iter().any(|n| n.eq_ignore_ascii_case(name)),
                None => self.iter().take(count).any(|p| p.name.eq_ignore_ascii_case(name)),
            };
            if repeated {
                return Err(Fault::new(400, "Repeated Parameter", at));
            }
            if let Some(place) = names.get_mut(count) {
                *place = name;
            }
            count += 1;
            if count > MAX_PARAMS {
                return Err(Fault::new(400, "Too Many Parameters", at));
            }
            rest = tail;
        }
        Ok(())
    }
}

impl<'a> IntoIterator for Params<'a> {
    type Item = Param<'a>;
    type IntoIter = ParamIter<'a>;

    fn into_iter(self) -> ParamIter<'a> {
        self.iter()
    }
}

/// What [`read_one`] found.
pub(crate) enum One<'a> {
    /// A parameter, and where the next one's semicolon, or the end, is.
    Param(Param<'a>, usize),
    /// There are no more.
    End,
    /// Something that is no generic-param.
    Malformed,
}

/// Reads the parameter whose semicolon stands at `at`, in one pass over it.
#[inline]
pub(crate) fn read_one<'a>(stops: &mut Stops<'a>, at: usize) -> One<'a> {
    match stops.get(at) {
        None => return One::End,
        Some(b';') => {}
        Some(_) => return One::Malformed,
    }
    let start = skip_lws(stops.bytes(), at + 1);
    let end = stops.skip(start, Class::TOKEN);
    if start == end {
        return One::Malformed;
    }
    let name = stops.between(start, end);
    let mut next = skip_lws(stops.bytes(), end);
    match stops.get(next) {
        Some(b'=') => {}
        None | Some(b';') => return One::Param(Param { name, value: None }, next),
        Some(_) => return One::Malformed,
    }
    let start = skip_lws(stops.bytes(), next + 1);
    let end = match stops.get(start) {
        Some(b'"') => match quoted_len(after(stops.bytes(), start)) {
            Some(len) => start + len,
            None => return One::Malformed,
        },
        _ => stops.skip(start, Class::VALUE),
    };
    if start == end {
        return One::Malformed;
    }
    next = skip_lws(stops.bytes(), end);
    match stops.get(next) {
        None | Some(b';') => {
            One::Param(Param { name, value: Some(stops.between(start, end)) }, next)
        }
        Some(_) => One::Malformed,
    }
}

/// Parameters in order.
#[derive(Clone, Copy, Debug)]
pub struct ParamIter<'a> {
    stops: Stops<'a>,
    /// Where the semicolon of the next one stands.
    at: usize,
}

impl<'a> Iterator for ParamIter<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        match read_one(&mut self.stops, self.at) {
            One::Param(param, next) => {
                self.at = next;
                Some(param)
            }
            One::End => None,
            One::Malformed => self.next_with_care(),
        }
    }
}

impl<'a> ParamIter<'a> {
    /// Whatever stands between two semicolons, if there is anything.
    fn next_with_care(&mut self) -> Option<Param<'a>> {
        loop {
            let rest = after(self.stops.bytes(), self.at).strip_prefix(b";")?;
            let (element, more) = cut_at(rest, b';');
            self.at = match more {
                Some(more) => offset(self.stops.bytes(), more).saturating_sub(1),
                None => self.stops.bytes().len(),
            };
            let element = trim(element);
            if element.is_empty() {
                continue;
            }
            let at = element.iter().position(|b| *b == b'=' || is_lws(*b));
            let (name, rest) = split(element, at.unwrap_or(element.len()));
            let value = trim_start(rest).strip_prefix(b"=").map(|v| trim_end(trim_start(v)));
            return Some(Param { name, value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_parameters_are_read_and_none_of_them_twice() {
        let many = |count: usize| (0..count).map(|n| format!(";p{n}=v")).collect::<String>();
        let check = |text: String| Params::new(text.as_bytes()).check().map_err(|f| f.reason);
        assert_eq!(check(many(MAX_PARAMS)), Ok(()));
        assert_eq!(check(many(MAX_PARAMS + 1)), Err("Too Many Parameters"));
        assert_eq!(check(many(20) + ";P7"), Err("Repeated Parameter"));
        assert_eq!(check(many(100) + ";P7"), Err("Repeated Parameter"));
        assert_eq!(check(many(100) + ";p99=x"), Err("Repeated Parameter"));
    }
}
