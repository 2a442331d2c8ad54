"""etcd3, a client in Python over gRPC, against a cluster whose client ports are in ENDPOINTS (host:port,host:port)."""

import os
import queue
import threading
import unittest

import etcd3

ENDPOINTS = [endpoint.rsplit(":", 1) for endpoint in os.environ["ENDPOINTS"].split(",")]
PATIENCE = 20


def connect(number=0):
    host, port = ENDPOINTS[number % len(ENDPOINTS)]
    return etcd3.client(host=host, port=int(port), timeout=PATIENCE)


class Keys(unittest.TestCase):
    def setUp(self):
        self.client = connect()
        self.client.delete_prefix("t/")

    def test_values_are_put_got_and_deleted(self):
        self.client.put("t/a", "1")
        value, meta = connect(1).get("t/a")
        self.assertEqual((value, meta.key, meta.version), (b"1", b"t/a", 1))
        self.client.put("t/a", b"\x00\xff")
        value, meta = connect(2).get("t/a")
        self.assertEqual((value, meta.version), (b"\x00\xff", 2))
        self.assertTrue(self.client.delete("t/a"))
        self.assertEqual(self.client.get("t/a"), (None, None))
        self.assertFalse(self.client.delete("t/a"))

    def test_ranges_are_sorted(self):
        for key in ["b", "a", "c"]:
            self.client.put(f"t/{key}", key.upper())
        found = [value for value, _ in self.client.get_prefix("t/", sort_order="descend", sort_target="key")]
        self.assertEqual(found, [b"C", b"B", b"A"])
        self.assertEqual(len(list(self.client.get_range("t/a", "t/c"))), 2)

    def test_transactions_compare_and_decide(self):
        self.client.put("t/a", "1")
        transactions = self.client.transactions
        done, answers = self.client.transaction(
            compare=[transactions.value("t/a") == "1", transactions.version("t/b") == 0],
            success=[transactions.put("t/b", "2"), transactions.get("t/a")],
            failure=[transactions.delete("t/a")],
        )
        self.assertTrue(done)
        self.assertEqual(answers[1][0][0], b"1")
        self.assertFalse(self.client.replace("t/b", "1", "3"))
        self.assertTrue(self.client.replace("t/b", "2", "3"))
        self.assertTrue(self.client.put_if_not_exists("t/c", "x"))
        self.assertFalse(self.client.put_if_not_exists("t/c", "y"))

    def test_a_compacted_revision_is_gone(self):
        self.client.put("t/a", "1")
        self.client.put("t/a", "2")
        _, meta = self.client.get("t/a")
        self.client.compact(meta.mod_revision)
        iterator, cancel = self.client.watch("t/a", start_revision=meta.mod_revision - 1)
        with self.assertRaises(etcd3.exceptions.RevisionCompactedError):
            next(iterator)
        cancel()


class Watches(unittest.TestCase):
    def test_what_happens_is_told_in_order(self):
        client = connect()
        client.delete_prefix("w/")
        told = queue.Queue()
        watch = client.add_watch_prefix_callback("w/", told.put)
        writer = connect(1)
        for number in range(20):
            writer.put(f"w/{number % 3}", str(number))
        writer.delete("w/0")
        values = []
        while len(values) < 21:
            response = told.get(timeout=PATIENCE)
            values += [event.value for event in response.events]
        self.assertEqual(values, [str(number).encode() for number in range(20)] + [b""])
        client.cancel_watch(watch)


class Leases(unittest.TestCase):
    def test_a_lease_takes_its_keys_with_it(self):
        client = connect()
        lease = client.lease(60)
        client.put("l/a", "1", lease=lease)
        client.put("l/b", "2", lease=lease)
        self.assertEqual(sorted(lease.keys), [b"l/a", b"l/b"])
        self.assertEqual(lease.granted_ttl, 60)
        self.assertEqual(next(iter(lease.refresh())).TTL, 60)
        lease.revoke()
        self.assertEqual(client.get("l/a"), (None, None))

    def test_a_lock_is_held_by_one(self):
        lock = connect().lock("build", ttl=30)
        self.assertTrue(lock.acquire(timeout=PATIENCE))
        other = connect(1).lock("build", ttl=30)
        self.assertFalse(other.acquire(timeout=1))
        acquired = threading.Event()
        waiting = threading.Thread(target=lambda: other.acquire(timeout=PATIENCE) and acquired.set())
        waiting.start()
        lock.release()
        waiting.join()
        self.assertTrue(acquired.is_set())
        other.release()


class Cluster(unittest.TestCase):
    def test_members_and_status_are_told(self):
        client = connect()
        members = list(client.members)
        self.assertEqual(len(members), len(ENDPOINTS))
        self.assertTrue(all(member.client_urls for member in members))
        status = client.status()
        self.assertTrue(status.version.startswith("3.5."))
        self.assertIn(status.leader.id, [member.id for member in members])


if __name__ == "__main__":
    unittest.main()
