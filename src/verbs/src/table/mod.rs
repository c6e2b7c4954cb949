//! The command table in the order of help: one row per verb.

mod apps;
mod config;
mod domains;
mod oneoff;
mod people;
mod quota;
mod registry;
mod run;

use crate::spec::Spec;
use crate::verb::{Verb, every_verb};

macro_rules! rows {
    ($($verb:ident => $module:ident::$row:ident,)*) => {
        /// Every verb, in the order of help.
        pub static TABLE: &[&Spec] = &[$(&$module::$row,)*];

        impl Verb {
            /// Its row of the table.
            pub fn spec(self) -> &'static Spec {
                match self {
                    $(Verb::$verb => &$module::$row,)*
                }
            }
        }
    };
}
every_verb!(rows);

impl Verb {
    /// Its name: `config:set`.
    pub fn name(self) -> &'static str {
        self.spec().name
    }
}
