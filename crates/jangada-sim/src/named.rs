//! Enums of things that are counted: each is declared once, with its words in tables.

/// Declares an enum without data, the list of all that are in it, and the words for each.
macro_rules! named {
    (
        $(#[$outer:meta])*
        $visibility:vis enum $enum:ident;
        $($(#[$doc:meta])* $name:ident = $words:literal,)*
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $enum {
            $($(#[$doc])* $name,)*
        }

        impl $enum {
            /// All of them.
            $visibility const ALL: &'static [$enum] = &[$($enum::$name,)*];

            /// Its words in tables.
            #[must_use]
            $visibility fn name(self) -> &'static str {
                match self {
                    $($enum::$name => $words,)*
                }
            }
        }
    };
}

pub(crate) use named;
