"""etcd3gw, a client in Python over etcd's JSON gateway, against a cluster whose client ports are in ENDPOINTS."""

import os
import unittest

import etcd3gw

HOST, PORT = os.environ["ENDPOINTS"].split(",")[0].rsplit(":", 1)


class Gateway(unittest.TestCase):
    def setUp(self):
        self.client = etcd3gw.client(host=HOST, port=int(PORT), api_path="/v3/")
        self.client.delete_prefix("g/")

    def test_values_are_put_got_and_deleted(self):
        self.assertTrue(self.client.put("g/a", "1"))
        self.assertEqual(self.client.get("g/a"), [b"1"])
        self.client.put("g/b", "2")
        found = [(meta["key"], value) for value, meta in self.client.get_prefix("g/")]
        self.assertEqual(found, [(b"g/a", b"1"), (b"g/b", b"2")])
        self.assertTrue(self.client.delete("g/a"))
        self.assertEqual(self.client.get("g/a"), [])

    def test_writes_depend_on_what_was(self):
        self.assertTrue(self.client.create("g/a", "1"))
        self.assertFalse(self.client.create("g/a", "2"))
        self.assertTrue(self.client.replace("g/a", "1", "2"))
        self.assertFalse(self.client.replace("g/a", "1", "3"))

    def test_a_watch_sees_the_next_change(self):
        iterator, cancel = self.client.watch("g/a")
        self.client.put("g/a", "1")
        event = next(iterator)
        self.assertEqual((event["kv"]["key"], event["kv"]["value"]), (b"g/a", b"1"))
        cancel()

    def test_a_lease_takes_its_keys_with_it(self):
        lease = self.client.lease(ttl=60)
        self.client.put("g/a", "1", lease=lease)
        self.assertEqual(lease.keys(), [b"g/a"])
        self.assertLessEqual(lease.ttl(), 60)
        self.assertEqual(lease.refresh(), 60)
        self.assertTrue(lease.revoke())
        self.assertEqual(self.client.get("g/a"), [])

    def test_a_lock_is_held_by_one(self):
        first, second = self.client.lock("g", ttl=30), self.client.lock("g", ttl=30)
        self.assertTrue(first.acquire())
        self.assertFalse(second.acquire())
        self.assertTrue(first.release())
        self.assertTrue(second.acquire())
        second.release()

    def test_members_and_status_are_told(self):
        self.assertTrue(self.client.status()["version"].startswith("3.5."))
        self.assertTrue(all(member["clientURLs"] for member in self.client.members()))


if __name__ == "__main__":
    unittest.main()
