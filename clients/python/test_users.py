"""etcd3 and etcd3gw while auth is on: root:all may everything, app:some what begins with app/."""

import os
import queue
import unittest

import etcd3
import etcd3gw
import grpc
import requests
from etcd3 import etcdrpc

ENDPOINTS = [endpoint.rsplit(":", 1) for endpoint in os.environ["ENDPOINTS"].split(",")]
PATIENCE = 20


def connect(user=None, password=None, number=0):
    host, port = ENDPOINTS[number % len(ENDPOINTS)]
    client = etcd3.client(host=host, port=int(port), timeout=PATIENCE, user=user, password=password)
    # The token is in the metadata, too: as a call's credentials, grpc sends it over TLS alone.
    client.call_credentials = client.watcher._credentials = None
    return client


def end_all_tokens():
    """Whoever has one asks for another."""
    root = connect("root", "all")
    auth = etcdrpc.AuthStub(root.channel)
    auth.AuthDisable(etcdrpc.AuthDisableRequest(), PATIENCE, metadata=root.metadata)
    auth.AuthEnable(etcdrpc.AuthEnableRequest(), PATIENCE)


class Grpc(unittest.TestCase):
    def refused(self, code, words, call):
        with self.assertRaises(grpc.RpcError) as raised:
            call()
        self.assertEqual((raised.exception.code(), raised.exception.details()), (code, words))

    def test_nobody_gets_nothing(self):
        code = grpc.StatusCode.INVALID_ARGUMENT
        self.refused(code, "etcdserver: user name is empty", lambda: connect().get("app/a"))

    def test_a_wrong_password_is_refused(self):
        code = grpc.StatusCode.INVALID_ARGUMENT
        words = "etcdserver: authentication failed, invalid user ID or password"
        self.refused(code, words, lambda: connect("app", "wrong"))

    def test_a_user_may_what_its_role_permits(self):
        client = connect("app", "some")
        client.put("app/a", "1")
        self.assertEqual(connect("app", "some", 1).get("app/a")[0], b"1")
        code, words = grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied"
        self.refused(code, words, lambda: client.put("other", "1"))
        self.refused(code, words, lambda: client.get("other"))
        self.refused(code, words, lambda: client.delete_prefix("a"))
        transactions = client.transactions
        both = [transactions.put("app/b", "1"), transactions.put("other", "1")]
        self.refused(code, words, lambda: client.transaction(compare=[], success=both, failure=[]))
        self.assertEqual(client.get("app/b"), (None, None))

    def test_a_user_watches_what_it_may_read(self):
        client = connect("app", "some")
        told = queue.Queue()
        watch = client.add_watch_prefix_callback("app/", told.put)
        lease = client.lease(60)
        client.put("app/w", "1", lease=lease)
        self.assertEqual([event.value for event in told.get(timeout=PATIENCE).events], [b"1"])
        lease.revoke()
        self.assertEqual([event.key for event in told.get(timeout=PATIENCE).events], [b"app/w"])
        client.cancel_watch(watch)

    def test_a_token_that_has_ended_is_refused_and_the_next_is_taken(self):
        client = connect("app", "some")
        client.put("app/a", "before")
        end_all_tokens()
        code = grpc.StatusCode.UNAUTHENTICATED
        self.refused(code, "etcdserver: invalid auth token", lambda: client.put("app/a", "with the old one"))
        client = connect("app", "some")
        client.put("app/a", "after")
        self.assertEqual(client.get("app/a")[0], b"after")


class Gateway(unittest.TestCase):
    host, port = ENDPOINTS[0]

    def log_in(self, name, password):
        url = f"http://{self.host}:{self.port}/v3/auth/authenticate"
        answer = requests.post(url, json={"name": name, "password": password}, timeout=PATIENCE)
        answer.raise_for_status()
        session = requests.Session()
        session.headers["Authorization"] = answer.json()["token"]
        return self.client(session)

    def client(self, session=None):
        return etcd3gw.client(host=self.host, port=int(self.port), api_path="/v3/", session=session)

    def test_a_user_may_what_its_role_permits(self):
        client = self.log_in("app", "some")
        self.assertTrue(client.put("app/g", "1"))
        self.assertEqual(client.get("app/g"), [b"1"])
        for forbidden in [lambda: client.put("other", "1"), lambda: client.get("other")]:
            with self.assertRaises(etcd3gw.exceptions.Etcd3Exception) as raised:
                forbidden()
            self.assertIn("etcdserver: permission denied", raised.exception.detail_text)

    def test_nobody_gets_nothing(self):
        with self.assertRaises(etcd3gw.exceptions.Etcd3Exception) as raised:
            self.client().get("app/g")
        self.assertIn("etcdserver: user name is empty", raised.exception.detail_text)

    def test_a_token_that_has_ended_is_refused_and_the_next_is_taken(self):
        client = self.log_in("app", "some")
        self.assertTrue(client.put("app/g", "before"))
        end_all_tokens()
        with self.assertRaises(etcd3gw.exceptions.Etcd3Exception) as raised:
            client.put("app/g", "with the old one")
        self.assertIn("etcdserver: invalid auth token", raised.exception.detail_text)
        self.assertTrue(self.log_in("app", "some").put("app/g", "after"))


if __name__ == "__main__":
    unittest.main()
