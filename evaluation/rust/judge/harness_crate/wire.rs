//! Values as bytes: plain types of the standard library, little-endian, lengths as u64.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::hash::Hash;
use std::num::Wrapping;
use std::ops::Range;
use std::time::Duration;

/// A value that can be written.
pub trait Encode {
    fn encode(&self, bytes: &mut Vec<u8>);
}

/// A value that can be read. The target of a reference is leaked.
pub trait Decode: Sized {
    /// None if the bytes are not such a value.
    fn decode(input: &mut Input) -> Option<Self>;
}

/// A value that can be overwritten by a value that is read.
pub trait Update {
    fn update(&mut self, input: &mut Input) -> Option<()>;
}

/// The bytes left to read.
pub struct Input {
    bytes: Vec<u8>,
    at: usize,
}

impl Input {
    pub fn new(bytes: Vec<u8>) -> Input {
        Input { bytes, at: 0 }
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn elements<T: Decode, C: Default + Extend<T>>(&mut self) -> Option<C> {
        // The length is not trusted: memory is allocated as elements are read. Those without a size only take time.
        let length = u64::decode(self)?;
        let mut elements = C::default();
        for _ in 0..length {
            elements.extend([T::decode(self)?]);
        }
        Some(elements)
    }
}

fn encode_all<T: Encode>(length: usize, elements: impl Iterator<Item = T>, bytes: &mut Vec<u8>) {
    (length as u64).encode(bytes);
    for element in elements {
        element.encode(bytes);
    }
}

macro_rules! numbers {
    ($($number:ty)+) => {$(
        impl Encode for $number {
            fn encode(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
        impl Decode for $number {
            fn decode(input: &mut Input) -> Option<$number> {
                Some(<$number>::from_le_bytes(input.take(size_of::<$number>())?.try_into().ok()?))
            }
        }
    )+};
}
numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

impl Encode for bool {
    fn encode(&self, bytes: &mut Vec<u8>) {
        u8::from(*self).encode(bytes);
    }
}

impl Decode for bool {
    fn decode(input: &mut Input) -> Option<bool> {
        [false, true].get(usize::from(u8::decode(input)?)).copied()
    }
}

impl Encode for char {
    fn encode(&self, bytes: &mut Vec<u8>) {
        u32::from(*self).encode(bytes);
    }
}

impl Decode for char {
    fn decode(input: &mut Input) -> Option<char> {
        char::from_u32(u32::decode(input)?)
    }
}

impl Encode for Ordering {
    fn encode(&self, bytes: &mut Vec<u8>) {
        (*self as i8).encode(bytes);
    }
}

impl Decode for Ordering {
    fn decode(input: &mut Input) -> Option<Ordering> {
        [Ordering::Less, Ordering::Equal, Ordering::Greater].get(i8::decode(input)?.wrapping_add(1) as usize).copied()
    }
}

impl Encode for Duration {
    fn encode(&self, bytes: &mut Vec<u8>) {
        (self.as_secs(), self.subsec_nanos()).encode(bytes);
    }
}

impl Decode for Duration {
    fn decode(input: &mut Input) -> Option<Duration> {
        let (seconds, nanoseconds) = <(u64, u32)>::decode(input)?;
        (nanoseconds < 1_000_000_000).then(|| Duration::new(seconds, nanoseconds))
    }
}

impl Encode for str {
    fn encode(&self, bytes: &mut Vec<u8>) {
        (self.len() as u64).encode(bytes);
        bytes.extend_from_slice(self.as_bytes());
    }
}

impl Encode for String {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.as_str().encode(bytes);
    }
}

impl Decode for String {
    fn decode(input: &mut Input) -> Option<String> {
        let length = usize::try_from(u64::decode(input)?).ok()?;
        Some(std::str::from_utf8(input.take(length)?).ok()?.to_owned())
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    fn encode(&self, bytes: &mut Vec<u8>) {
        (**self).encode(bytes);
    }
}

impl<T: Encode + ?Sized> Encode for &mut T {
    fn encode(&self, bytes: &mut Vec<u8>) {
        (**self).encode(bytes);
    }
}

impl<T: Decode> Decode for &T {
    fn decode(input: &mut Input) -> Option<Self> {
        Some(Box::leak(Box::new(T::decode(input)?)))
    }
}

impl Decode for &str {
    fn decode(input: &mut Input) -> Option<Self> {
        Some(String::decode(input)?.leak())
    }
}

impl<T: Decode> Decode for &[T] {
    fn decode(input: &mut Input) -> Option<Self> {
        Some(Vec::decode(input)?.leak())
    }
}

impl<T: Encode + ?Sized> Encode for Box<T> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        (**self).encode(bytes);
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(input: &mut Input) -> Option<Self> {
        T::decode(input).map(Box::new)
    }
}

impl Decode for Box<str> {
    fn decode(input: &mut Input) -> Option<Self> {
        String::decode(input).map(String::into_boxed_str)
    }
}

impl<T: Decode> Decode for Box<[T]> {
    fn decode(input: &mut Input) -> Option<Self> {
        Vec::decode(input).map(Vec::into_boxed_slice)
    }
}

impl<T: Encode + ToOwned + ?Sized> Encode for Cow<'_, T> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        matches!(self, Cow::Borrowed(_)).encode(bytes);
        (**self).encode(bytes);
    }
}

impl<'a, T: ToOwned + ?Sized> Decode for Cow<'a, T>
where
    &'a T: Decode,
    T::Owned: Decode,
{
    fn decode(input: &mut Input) -> Option<Self> {
        Some(if bool::decode(input)? { Cow::Borrowed(<&T>::decode(input)?) } else { Cow::Owned(T::Owned::decode(input)?) })
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.is_some().encode(bytes);
        if let Some(value) = self {
            value.encode(bytes);
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(input: &mut Input) -> Option<Self> {
        Some(if bool::decode(input)? { Some(T::decode(input)?) } else { None })
    }
}

impl<T: Encode, E: Encode> Encode for Result<T, E> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.is_ok().encode(bytes);
        match self {
            Ok(value) => value.encode(bytes),
            Err(error) => error.encode(bytes),
        }
    }
}

impl<T: Decode, E: Decode> Decode for Result<T, E> {
    fn decode(input: &mut Input) -> Option<Self> {
        Some(if bool::decode(input)? { Ok(T::decode(input)?) } else { Err(E::decode(input)?) })
    }
}

impl<T: Encode> Encode for [T] {
    fn encode(&self, bytes: &mut Vec<u8>) {
        encode_all(self.len(), self.iter(), bytes);
    }
}

impl<T: Encode, const N: usize> Encode for [T; N] {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.as_slice().encode(bytes);
    }
}

impl<T: Decode, const N: usize> Decode for [T; N] {
    fn decode(input: &mut Input) -> Option<Self> {
        Vec::decode(input)?.try_into().ok()
    }
}

macro_rules! collections {
    ($($collection:ident: $($bound:ident)*;)+) => {$(
        impl<T: Encode> Encode for $collection<T> {
            fn encode(&self, bytes: &mut Vec<u8>) {
                encode_all(self.len(), self.iter(), bytes);
            }
        }
        impl<T: Decode $(+ $bound)*> Decode for $collection<T> {
            fn decode(input: &mut Input) -> Option<Self> {
                input.elements::<T, Self>()
            }
        }
    )+};
}
collections! {
    Vec: ;
    VecDeque: ;
    LinkedList: ;
    BinaryHeap: Ord;
    BTreeSet: Ord;
    HashSet: Hash Eq;
}

macro_rules! maps {
    ($($map:ident: $($bound:ident)+;)+) => {$(
        impl<K: Encode, V: Encode> Encode for $map<K, V> {
            fn encode(&self, bytes: &mut Vec<u8>) {
                encode_all(self.len(), self.iter(), bytes);
            }
        }
        impl<K: Decode $(+ $bound)+, V: Decode> Decode for $map<K, V> {
            fn decode(input: &mut Input) -> Option<Self> {
                input.elements::<(K, V), Self>()
            }
        }
    )+};
}
maps! {
    BTreeMap: Ord;
    HashMap: Hash Eq;
}

macro_rules! wrappers {
    ($($wrapper:ident)+) => {$(
        impl<T: Encode> Encode for $wrapper<T> {
            fn encode(&self, bytes: &mut Vec<u8>) {
                self.0.encode(bytes);
            }
        }
        impl<T: Decode> Decode for $wrapper<T> {
            fn decode(input: &mut Input) -> Option<Self> {
                T::decode(input).map($wrapper)
            }
        }
    )+};
}
wrappers!(Reverse Wrapping);

impl<T: Encode> Encode for Range<T> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        (&self.start, &self.end).encode(bytes);
    }
}

impl<T: Decode> Decode for Range<T> {
    fn decode(input: &mut Input) -> Option<Self> {
        <(T, T)>::decode(input).map(|(start, end)| start..end)
    }
}

macro_rules! tuples {
    ($($($part:ident)*;)+) => {$(
        #[allow(non_snake_case, unused_variables)]
        impl<$($part: Encode),*> Encode for ($($part,)*) {
            fn encode(&self, bytes: &mut Vec<u8>) {
                let ($($part,)*) = self;
                $($part.encode(bytes);)*
            }
        }
        #[allow(unused_variables)]
        impl<$($part: Decode),*> Decode for ($($part,)*) {
            fn decode(input: &mut Input) -> Option<Self> {
                Some(($($part::decode(input)?,)*))
            }
        }
    )+};
}
tuples! {
    ;
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}

impl<T: Decode> Update for T {
    fn update(&mut self, input: &mut Input) -> Option<()> {
        *self = T::decode(input)?;
        Some(())
    }
}

impl<T: Decode> Update for [T] {
    fn update(&mut self, input: &mut Input) -> Option<()> {
        let values: Vec<T> = Vec::decode(input)?;
        if values.len() != self.len() {
            return None;
        }
        for (place, value) in self.iter_mut().zip(values) {
            *place = value;
        }
        Some(())
    }
}
