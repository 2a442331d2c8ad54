//! The words of `jangada ctl` about users, roles and authentication.

use std::ffi::OsString;

use clap::{Args, Subcommand, ValueEnum};

/// About users.
#[derive(Clone, Debug, Subcommand)]
pub enum UserWord {
    /// Add one; the password may also be typed, or stand on stdin
    Add {
        /// NAME or NAME:PASSWORD
        user: String,
        /// Its password
        #[arg(long, value_name = "PASSWORD")]
        new_user_password: Option<String>,
        /// Nobody can log in by this name
        #[arg(long)]
        no_password: bool,
        /// Ask for the password on a terminal
        #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
        interactive: bool,
    },
    /// Delete one
    Delete {
        /// Its name
        user: String,
    },
    /// Which roles one has
    Get {
        /// Its name
        user: String,
    },
    /// Who there is
    List,
    /// Change a password
    Passwd {
        /// NAME, or NAME:PASSWORD with the new one
        user: String,
        /// Ask for the password on a terminal
        #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
        interactive: bool,
    },
    /// Let one have a role
    GrantRole {
        /// The user
        user: String,
        /// The role
        role: String,
    },
    /// Take a role from one
    RevokeRole {
        /// The user
        user: String,
        /// The role
        role: String,
    },
}

/// About roles.
#[derive(Clone, Debug, Subcommand)]
pub enum RoleWord {
    /// Add one
    Add {
        /// Its name
        role: String,
    },
    /// Delete one
    Delete {
        /// Its name
        role: String,
    },
    /// What one may do
    Get {
        /// Its name
        role: String,
    },
    /// Which there are
    List,
    /// Let one have keys
    GrantPermission(Grant),
    /// Take keys from one
    RevokePermission {
        /// The role
        role: String,
        /// The key
        key: OsString,
        /// All keys from KEY to before this one
        range_end: Option<OsString>,
        /// All keys that begin with KEY
        #[arg(long)]
        prefix: bool,
        /// All keys from KEY on
        #[arg(long)]
        from_key: bool,
    },
}

/// Which keys a role may have.
#[derive(Args, Clone, Debug)]
pub struct Grant {
    /// The role
    pub role: String,
    /// What for
    #[arg(value_enum, ignore_case = true)]
    pub kind: Kind,
    /// The key
    pub key: OsString,
    /// All keys from KEY to before this one
    pub range_end: Option<OsString>,
    /// All keys that begin with KEY
    #[arg(long)]
    pub prefix: bool,
    /// All keys from KEY on
    #[arg(long)]
    pub from_key: bool,
}

/// What may be done with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Read
    Read,
    /// Write and delete
    Write,
    /// Both
    Readwrite,
}

/// About authentication.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum AuthWord {
    /// From now on; there must be a user root
    Enable,
    /// No more
    Disable,
    /// Is it on?
    Status,
}
