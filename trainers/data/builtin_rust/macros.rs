//! A few small declarative macros.

/// Builds a `HashMap` from `key => value` pairs.
#[macro_export]
macro_rules! hash_map {
    ($($key:expr => $value:expr),* $(,)?) => {{
        let pairs = [$(($key, $value)),*];
        pairs.into_iter().collect::<::std::collections::HashMap<_, _>>()
    }};
}

/// Returns the largest of one or more expressions.
#[macro_export]
macro_rules! max_of {
    ($only:expr $(,)?) => {
        $only
    };
    ($first:expr, $($rest:expr),+ $(,)?) => {{
        let first = $first;
        let rest = $crate::max_of!($($rest),+);
        if first >= rest { first } else { rest }
    }};
}

/// Counts its arguments at compile time.
#[macro_export]
macro_rules! count {
    () => { 0usize };
    ($head:tt $($tail:tt)*) => { 1usize + $crate::count!($($tail)*) };
}

/// Defines an enum together with its name table.
macro_rules! named_enum {
    ($(#[$meta:meta])* $name:ident { $($variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($variant),+
        }

        impl $name {
            /// All variants in the order of their definition.
            pub const ALL: [$name; $crate::count!($($variant)+)] = [$($name::$variant),+];

            /// Returns the name of the variant.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text),+
                }
            }

            /// Looks a variant up by its name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some($name::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

named_enum! {
    /// The four compass directions.
    Direction {
        North => "north",
        East => "east",
        South => "south",
        West => "west",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps() {
        let ages = hash_map! { "ann" => 31, "bob" => 27 };
        assert_eq!(ages["ann"], 31);
        assert_eq!(ages.len(), 2);
    }

    #[test]
    fn maximum_and_count() {
        assert_eq!(max_of!(4), 4);
        assert_eq!(max_of!(2, 5 + 4, 7), 9);
        assert_eq!(count!(a b c), 3);
        assert_eq!(count!(), 0);
    }

    #[test]
    fn directions() {
        assert_eq!(Direction::ALL.len(), 4);
        for direction in Direction::ALL {
            assert_eq!(Direction::from_name(direction.name()), Some(direction));
        }
        assert_eq!(Direction::from_name("up"), None);
    }
}
