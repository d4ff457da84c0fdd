import io
import unittest
from dataclasses import dataclass, field
from typing import Literal

from portcullis import Authentication, GatewayError, Plugin, Recipient, SettingsError, Verdict
from portcullis import dns, domain_of, http, kv, local_part_of, log, mail_auth, metrics, reversed_ip, upstreams
from portcullis.plugin import wants
from portcullis.settings import decode
from portcullis.streams import Stream
from portcullis.testing import (
    FakeGateway,
    FakeMessage,
    FakePart,
    FakeTransaction,
    configure,
    fake_credentials,
    fake_session,
)


class SdkTest(unittest.TestCase):
    def assert_reason(self, reason, call, *arguments, **named):
        with self.assertRaises(GatewayError) as raised:
            call(*arguments, **named)
        self.assertEqual(raised.exception.reason, reason)

    def test_replies_have_the_class_that_the_verdict_asks_for(self):
        self.assertEqual(Verdict.reject(550, "5.7.1", "no").reply.status, (5, 7, 1))
        self.assertIsNone(Verdict.defer(451, "later").reply.status)
        with self.assertRaisesRegex(ValueError, "reject takes a code 5xx, not 450"):
            Verdict.reject(450, "no")
        with self.assertRaisesRegex(ValueError, "no enhanced status"):
            Verdict.reject(550, "nonsense", "no")
        self.assertEqual(Authentication.authenticated("ann").identity, "ann")

    def test_addresses_are_taken_apart(self):
        self.assertEqual(domain_of('"a@b"@C.example'), "c.example")
        self.assertEqual(domain_of("postmaster"), "")
        self.assertEqual(local_part_of('"a@b"@c.example'), '"a@b"')
        self.assertEqual(reversed_ip(fake_session().client_ip), "1.2.0.192")
        self.assertIsNone(fake_session(client_address="unix").client_ip)
        long = reversed_ip(fake_session(client_address="2001:db8::1").client_ip)
        self.assertTrue(long.startswith("1.0.0.") and long.endswith(".8.b.d.0.1.0.0.2"), long)

    def test_settings_are_checked_and_mistakes_told_with_their_place(self):
        @dataclass
        class Inner:
            on: bool

        @dataclass
        class Settings:
            names: frozenset[str]
            limits: dict[str, int] = field(default_factory=dict)
            mode: Literal["a", "b", "c"] = "a"
            inner: Inner | None = None
            ratio: float = 0.5

        globals()["Inner"] = Inner
        settings = decode(Settings, {"names": ["x"], "limits": {"y": 1}, "ratio": 1})
        self.assertEqual(settings, Settings(frozenset("x"), {"y": 1}, "a", None, 1.0))
        for given, told in [
            (3, "expected a mapping, found a whole number"),
            ({}, "names: missing"),
            ({"names": "x"}, "names: expected a list, found a string"),
            ({"names": ["x", None]}, "names[1]: expected a string, found nothing"),
            ({"names": [], "limits": {"y": True}}, "limits.y: expected a whole number, found true or false"),
            ({"names": [], "mode": "d"}, "mode: expected a, b or c"),
            ({"names": [], "inner": {"off": 1}}, "inner.off: unknown key, expected on"),
        ]:
            with self.assertRaises(SettingsError) as raised:
                decode(Settings, given)
            self.assertEqual(str(raised.exception), told)

    def test_a_session_keeps_what_is_saved_and_noted(self):
        session = fake_session(saved=b'{"a": 1}', notes={"other.seen": "yes"}, user="ann")
        self.assertEqual(session.load_json(), {"a": 1})
        session.save_json({"a": 2})
        self.assertEqual(session.load_json(), {"a": 2})
        self.assertEqual(session.note("other.seen"), "yes")
        session.set_note("mine", "too")
        self.assertEqual(session.note("fake.mine"), "too")
        self.assertEqual(session.user, "ann")
        self.assert_reason("out-of-range", session.save, bytes(70_000))
        with self.assertRaisesRegex(TypeError, "a session has no usr"):
            fake_session(usr="ann")

    def test_manners_are_shown_and_a_reply_is_held_back(self):
        session = fake_session(conduct={"early-talker": 1})
        self.assertEqual(session.conduct.get("early-talker", 0), 1)
        self.assertEqual(session.conduct.get("syntax-errors", 0), 0)
        session.delay(2.5)
        session.delay(1)
        self.assertEqual(session.raw.delayed, 2.5)
        self.assert_reason("out-of-range", session.delay, 61)

    def test_edits_of_the_envelope_need_their_grants(self):
        FakeGateway()
        plain = FakeTransaction(sender="a@B.example", recipients=["c@d.example"])
        self.assertEqual(plain.sender_domain, "b.example")
        self.assert_reason("denied", plain.set_sender, None)
        self.assert_reason("out-of-range", plain.drop_recipient, 1)
        plain.refuse_recipient(plain.recipients[0], 550, "5.1.1", "gone")
        plain.score("HAM", -1)
        self.assertEqual(plain.scores, [("HAM", -1.0)])
        granted = FakeTransaction(recipients=["c@d.example"], grants=["rewrite-envelope", "route"])
        self.assertEqual(granted.add_recipient("e@f.example"), 1)
        self.assert_reason("malformed", granted.add_recipient, "nobody")
        granted.route("archive", granted.recipients[0])
        granted.route("archive")
        self.assertEqual(granted.edits[1:], [("route", "archive", 0), ("route", "archive", None)])

    def test_a_message_is_read_without_holding_it(self):
        message = FakeMessage("Subject: grüße\n to you\nsubject: 2\n\none two\nthree\n")
        self.assertEqual(message.header("SUBJECT"), "grüße to you")
        self.assertEqual(len(message.headers("subject")), 2)
        self.assertIsNone(message.header("from"))
        with message.read_body() as body:
            self.assertEqual(body.find("two"), 4)
            self.assertIsNone(body.find("two", 5))
            self.assertEqual(body.skip(4), 4)
            self.assertEqual(len(body.sha256()), 32)
            self.assertEqual(io.BufferedReader(body).readlines(), [b"two\r\n", b"three\r\n"])
        self.assertEqual(len(message.read().read()), message.size)
        self.assertEqual(FakeMessage(b"A: \xff\n\n").header("a").encode(errors="surrogateescape"), b"\xff")

    def test_a_message_is_edited_at_the_places_that_were_there(self):
        message = FakeMessage(
            "A: 1\nB: 2\nA: 3\n\nbody\n", grants=["rewrite-headers", "rewrite-body"]
        )
        message.add_header("Top", "0", at=0)
        message.add_header("End", "9")
        message.set_header("A", "x", nth=1)
        message.drop_header("B")
        message.splice_body(0, 0, "no")
        self.assertEqual(message.edited, "Top: 0\r\nA: 1\r\nA: x\r\nEnd: 9\r\n\r\nnobody\r\n")
        self.assert_reason("out-of-range", message.set_header, "B", "x", nth=1)
        self.assert_reason("malformed", message.add_header, "X", "a\r\nB: b")
        with message.replace_body() as body:
            body.copy(message.read_body(), 2)
            body.write("!\n")
        self.assertEqual(message.edits[-1], ("replace_body", "bo!\r\n"))
        with self.assertRaises(KeyError), message.replace_body() as body:
            raise KeyError
        self.assertEqual(message.edits[-1], ("replace_body", "bo!\r\n"))

    def test_parts_are_read_as_text(self):
        given = [FakePart("multipart/mixed"), FakePart(content="grüß dich", parent=0, file_name="a.txt")]
        whole, part = FakeMessage(parts=given).parts
        self.assertTrue(whole.is_multipart)
        self.assertIsNone(whole.read())
        self.assertEqual((part.text(), part.file_name, part.index), ("grüß dich", "a.txt", 1))

    def test_streams_are_answered_and_remembered(self) -> None:
        gateway = FakeGateway(streams={"a:1": lambda heard: b"PONG" if heard else None})
        self.assert_reason("denied", Stream, "b:1")
        with Stream("a:1", timeout_ms=100) as stream:
            self.assert_reason("timed-out", stream.read)
            stream.write("PING")
            self.assertEqual((stream.read(2), stream.read(), stream.read()), (b"PO", b"NG", b""))
            self.assertEqual(gateway.streamed, [b"PING"])
            # It may be larger than what is written at once.
            large = FakeMessage(b"Subject: x\r\n\r\n" + bytes(2 << 20))
            self.assertEqual(stream.write_content(large.read_body()), 2 << 20)

    def test_capabilities_answer_in_the_languages_own_words(self):
        gateway = FakeGateway(
            dns={
                "mx": {"a.example": ["10 mx.example"]},
                "a": {"slow.example": "timed-out", "bad.example": "failed"},
            },
            stores={"counts": {"a": "1"}},
            http=lambda request: http.Response(
                404 if request.url.endswith("/no") else 200, [], b'{"got":"%s"}' % request.body
            ),
            upstreams={"store": {"no@b.example": (550, (5, 1, 1), "no")}, "slow": "timed-out"},
            states={"store": {"available": 1, "busy": 3}},
            sender_findings=[mail_auth.Finding("spf", "pass", None, {"smtp.mailfrom": "a@b"})],
        )
        self.assertEqual(dns.lookup("a.example.", "mx").records, ["10 mx.example"])
        asked = [("slow.example", "a"), ("bad.example", "a"), ("no.example", "a")]
        self.assertEqual([one.failed for one in dns.lookup_all(asked)], [True, True, False])
        store = kv.Store("counts")
        self.assertEqual(store.add("a", 2), 3)
        self.assertEqual(store.get("a"), b"3")
        self.assertIsNone(store.get("b"))
        version = store.put("b", "x", expect=0)
        self.assert_reason("conflict", store.put, "b", "y", expect=0)
        self.assert_reason("not-a-counter", store.add, "b")
        self.assertEqual(store.entries(["b"]), [kv.Entry(b"x", version)])
        store.delete("a", "b")
        self.assert_reason("denied", kv.Store, "other")
        answer = http.send(http.Request("https://x.example/", "POST", body="q"))
        self.assertEqual(answer.json(), {"got": "q"})
        self.assertFalse(http.send_all([http.Request("https://x.example/no")])[0].ok)
        said = upstreams.verify_all("store", ["no@b.example", "yes@b.example"])
        self.assertEqual([one.code for one in said], [550, 250])
        self.assert_reason("timed-out", upstreams.verify, "slow", "a@b.example")
        self.assert_reason("denied", upstreams.verify, "other", "a@b.example")
        self.assertEqual(upstreams.state("store")["busy"], 3)
        found = mail_auth.sender(fake_session(), FakeTransaction())
        self.assertEqual(found[0].properties["smtp.mailfrom"], "a@b")
        content = (fake_session(), FakeTransaction(), FakeMessage())
        self.assert_reason("denied", mail_auth.content, *content)
        metrics.add("hits", 2, kind="x")
        metrics.observe("size", 3)
        log.warn("careful", at=3)
        self.assertEqual(gateway.counted, {'hits{kind="x"}': 2})
        self.assertEqual(gateway.observed, {"size": [3.0]})
        self.assertEqual((gateway.logged[0].text, gateway.logged[0].fields), ("careful", {"at": "3"}))
        FakeGateway()
        self.assert_reason("denied", http.send, http.Request("https://x.example/"))

    def test_a_hook_asks_for_what_there_is(self):
        class Porter(Plugin):
            def auth(self, credentials):
                return Authentication.authenticated(credentials.user)

        self.assertEqual(wants(Porter), {"auth": ("credentials",)})
        porter = configure(Porter)
        self.assertEqual(porter.auth(fake_credentials("ann")).identity, "ann")

        class Mistaken(Plugin):
            def rcpt(self, recipent: Recipient):
                return Verdict.NEXT

        with self.assertRaisesRegex(TypeError, "rcpt asks for 'recipent'; there is session"):
            wants(Mistaken)
        with self.assertRaisesRegex(TypeError, "Plugin has no hook"):
            wants(Plugin)
        with self.assertRaisesRegex(SettingsError, "^x: unknown key, there are none$"):
            configure(Porter, {"x": 1})
