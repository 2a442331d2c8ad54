//! A store that begins with given keys.

use jangada_kv::{
    Command, ImportedKey, KeyRange, Millis, RangeRequest, Request, RestoreError, Revision, Store,
};

use crate::support::{World, bytes};

fn keys(world: &World) -> Vec<ImportedKey> {
    let all = world.range(RangeRequest::new(KeyRange::all()));
    let keys = all.kvs.into_iter().map(|kv| ImportedKey {
        key: kv.key,
        value: kv.value,
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
    });
    keys.collect()
}

#[test]
fn a_store_of_given_keys_is_like_one_that_has_forgotten_all_else() {
    let mut world = World { now: Millis(0), ..World::new() };
    for (key, value) in [("b", "1"), ("a", "1"), ("c", "1"), ("a", "2")] {
        world.put(key, value);
    }
    world.run(Command::Delete { keys: vec![bytes("b")] });
    world.put("d", "1");
    world.apply(Request::Compact { revision: Revision(7) });
    let mut shuffled = keys(&world);
    shuffled.reverse();
    let mut imported = World { store: Store::import(Revision(7), shuffled).unwrap(), now: Millis(0) };
    assert_eq!(imported.store.state_hash(), world.store.state_hash());
    assert_eq!((imported.put("b", "again"), keys(&imported)), (world.put("b", "again"), keys(&world)));
    assert_eq!(imported.store.state_hash(), world.store.state_hash());
}

#[test]
fn keys_that_cannot_have_come_to_be_are_refused() {
    let key = |mod_revision, version| ImportedKey {
        key: bytes("a"),
        value: bytes("1"),
        create_revision: Revision(2),
        mod_revision: Revision(mod_revision),
        version,
    };
    assert!(Store::import(Revision(1), vec![]).is_ok());
    assert!(Store::import(Revision(4), vec![key(4, 2)]).is_ok());
    for wrong in [vec![key(5, 1)], vec![key(4, 0)], vec![key(1, 1)], vec![key(3, 1), key(3, 1)]] {
        let refused = Store::import(Revision(4), wrong.clone());
        assert!(matches!(refused, Err(RestoreError::Contradiction { .. })), "{wrong:?}");
    }
}
