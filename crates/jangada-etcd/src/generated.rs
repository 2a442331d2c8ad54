//! Messages, enums, clients and servers, made of the files in `proto/` by `cargo run -p xtask --features codegen -- codegen`.
//!
//! Nobody edits the files in `generated/`: CI fails if they are not what the `.proto` files make of them. They are
//! included, not modules of their own, so that neither rustfmt nor tidy's limits concern them.

/// A module of generated code, which need not please anybody.
macro_rules! generated {
    ($(#[$doc:meta])* $name:ident, $file:literal) => {
        $(#[$doc])*
        #[allow(missing_docs, unreachable_pub, rustdoc::all, clippy::all, clippy::pedantic)]
        pub mod $name {
            include!(concat!("generated/", $file));
        }
    };
}

generated! {
    /// Users, roles, permissions.
    authpb, "authpb.rs"
}
generated! {
    /// All services but locks and elections.
    etcdserverpb, "etcdserverpb.rs"
}
generated! {
    /// Keys and their changes.
    mvccpb, "mvccpb.rs"
}
generated! {
    /// Elections.
    v3electionpb, "v3electionpb.rs"
}
generated! {
    /// Locks.
    v3lockpb, "v3lockpb.rs"
}
