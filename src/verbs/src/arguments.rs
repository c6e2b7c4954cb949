//! The arguments and options of a verb as a type: declared once, in its row's file, as rows of the table (from which usage,
//! help and the parser come) and as the fields that its handler gets. Nothing is looked up by its name outside of here.

use crate::parsed::Parsed;
use crate::spec::{Arg, Flag};
use domain::Refusal;

/// What a verb takes, read.
pub trait Arguments: Sized {
    /// Positional arguments after the app.
    const ARGS: &'static [Arg];
    /// Options.
    const FLAGS: &'static [Flag];

    /// The fields, from words that the parser has matched to the rows.
    ///
    /// # Errors
    /// Of the types: a word that is none of theirs.
    fn read(parsed: &Parsed) -> Result<Self, Refusal>;
}

/// A verb that takes nothing but its app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nothing;

impl Arguments for Nothing {
    const ARGS: &'static [Arg] = &[];
    const FLAGS: &'static [Flag] = &[];

    fn read(_: &Parsed) -> Result<Nothing, Refusal> {
        Ok(Nothing)
    }
}

/// Declares a type of arguments. Each field has a kind, and its row of the table:
///
/// | kind | field | row |
/// |---|---|---|
/// | `one f: T` | `T` | a required argument |
/// | `maybe f: T` | `Option<T>` | an optional one |
/// | `many f: T` | `Vec<T>` | a repeated one |
/// | `pairs f` | `Vec<(String, String)>` | a repeated `KEY=VALUE` |
/// | `vars f` | config vars | a repeated `NAME=VALUE` with secret values |
/// | `switch f` | `bool` | an option without a value |
/// | `value f: T` | `Option<T>` | an option with one |
/// | `number f: A, B` | `u32` | an option with a number from 1 to B, A if it is left out |
/// | `env f` | config vars | an option with `NAME=VALUE`, any number of times |
/// | `confirm` | none | the app's name again, which the parser compares |
macro_rules! arguments {
    ($(#[$doc:meta])* $name:ident { $($rest:tt)* }) => {
        $crate::arguments::arguments!(@next [$(#[$doc])* $name] [] [] [] $($rest)*);
    };
    (@next $head:tt [$($a:tt)*] $f:tt [$($x:tt)*] one $field:ident: $type:ty = $row:expr; $($rest:tt)*) => {
        $crate::arguments::arguments!(@next $head [$($a)* $row,] $f
            [$($x)* { $field, $type, $row, one }] $($rest)*);
    };
    (@next $head:tt [$($a:tt)*] $f:tt [$($x:tt)*] maybe $field:ident: $type:ty = $row:expr; $($rest:tt)*) => {
        $crate::arguments::arguments!(@next $head [$($a)* $row,] $f
            [$($x)* { $field, Option<$type>, $row, maybe }] $($rest)*);
    };
    (@next $head:tt [$($a:tt)*] $f:tt [$($x:tt)*] many $field:ident: $type:ty = $row:expr; $($rest:tt)*) => {
        $crate::arguments::arguments!(@next $head [$($a)* $row,] $f
            [$($x)* { $field, Vec<$type>, $row, many }] $($rest)*);
    };
    (@next $head:tt [$($a:tt)*] $f:tt [$($x:tt)*] pairs $field:ident = $row:expr; $($rest:tt)*) => {
        $crate::arguments::arguments!(@next $head [$($a)* $row,] $f
            [$($x)* { $field, Vec<(String, String)>, $row, pairs }] $($rest)*);
    };
    (@next $head:tt [$($a:tt)*] $f:tt [$($x:tt)*] vars $field:ident = $row:expr; $($rest:tt)*) => {
        $crate::arguments::arguments!(@next $head [$($a)* $row,] $f
            [$($x)* { $field, domain::config::ConfigVars, $row, vars }] $($rest)*);
    };
    (@next $head:tt $a:tt [$($f:tt)*] [$($x:tt)*] env $field:ident = $row:expr; $($rest:tt)*) => {
        $crate::arguments::arguments!(@next $head $a [$($f)* $row,]
            [$($x)* { $field, domain::config::ConfigVars, $row, env }] $($rest)*);
    };
    (@next $head:tt $a:tt [$($f:tt)*] [$($x:tt)*] switch $field:ident = $row:expr; $($rest:tt)*) => {
        $crate::arguments::arguments!(@next $head $a [$($f)* $row,]
            [$($x)* { $field, bool, $row, switch }] $($rest)*);
    };
    (@next $head:tt $a:tt [$($f:tt)*] [$($x:tt)*] value $field:ident: $type:ty = $row:expr; $($rest:tt)*) => {
        $crate::arguments::arguments!(@next $head $a [$($f)* $row,]
            [$($x)* { $field, Option<$type>, $row, value }] $($rest)*);
    };
    (@next $head:tt $a:tt [$($f:tt)*] [$($x:tt)*] number $field:ident: $usual:expr, $most:expr => $row:expr; $($rest:tt)*) => {
        $crate::arguments::arguments!(@next $head $a [$($f)* $row,]
            [$($x)* { $field, u32, ($row, $usual, $most), number }] $($rest)*);
    };
    (@next $head:tt $a:tt [$($f:tt)*] $x:tt confirm = $row:expr; $($rest:tt)*) => {
        $crate::arguments::arguments!(@next $head $a [$($f)* $row,] $x $($rest)*);
    };
    (@next [$(#[$doc:meta])* $name:ident] [$($arg:expr,)*] [$($flag:expr,)*] [$({ $field:ident, $type:ty, $row:expr, $kind:ident })*]) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each field is described by its row")]
        pub struct $name {
            $(pub $field: $type,)*
        }

        impl $crate::arguments::Arguments for $name {
            const ARGS: &'static [$crate::spec::Arg] = &[$($arg,)*];
            const FLAGS: &'static [$crate::spec::Flag] = &[$($flag,)*];

            fn read(parsed: &$crate::parsed::Parsed) -> Result<$name, domain::Refusal> {
                let _ = parsed;
                Ok($name { $($field: parsed.$kind($row)?,)* })
            }
        }
    };
}
pub(crate) use arguments;
