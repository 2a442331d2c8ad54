//! Tests of the replica from outside.

mod frames; // what travels between peers survives, and nothing else gets in
