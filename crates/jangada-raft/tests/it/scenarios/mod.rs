//! Stories of whole clusters, each about one behaviour. The checker of the world looks on all the while.

mod elections; // who leads, and who must not disturb
mod replication; // logs that differ and come together again
mod durability; // crashes at bad moments
mod membership; // servers come and go
mod snapshots; // what is cut off and who still needs it
mod reads; // what a client may see
mod transfer; // leadership on wish

/// The numbers, from 1 on, of the bits that are set.
fn in_turn(bits: u64) -> impl Iterator<Item = u64> {
    (1..=64).filter(move |number| bits >> (number - 1) & 1 == 1)
}
