import unittest

from gatekeeper import Gatekeeper
from portcullis import Recipient, SettingsError, Verdict
from portcullis.testing import FakeGateway, FakeMessage, configure, fake_session


def gatekeeper(**settings):
    return configure(Gatekeeper, {"refuse": ["Closed.example"], **settings})


class GatekeeperTest(unittest.TestCase):
    def test_mail_for_a_refused_domain_is_refused_whatever_its_case(self):
        refused = Verdict.reject(550, "5.7.1", "no mail for closed.example here")
        self.assertEqual(gatekeeper().rcpt(Recipient("a@CLOSED.example")), refused)
        self.assertEqual(gatekeeper().rcpt(Recipient("a@open.example")), Verdict.NEXT)

    def test_who_is_on_the_list_may_not_connect(self):
        records = {"2.2.0.192.list.example": ["127.0.0.2"], "3.2.0.192.list.example": "timed-out"}
        gateway = FakeGateway(dns={"a": records})
        listed = gatekeeper(list="list.example")

        def answer(address):
            return listed.connect(fake_session(client_address=address))

        refused = Verdict.reject(554, "5.7.1", "192.0.2.2 is listed by list.example")
        self.assertEqual(answer("192.0.2.2"), refused)
        for address in ["192.0.2.1", "2001:db8::1", "unix"]:
            self.assertEqual(answer(address), Verdict.NEXT)
        self.assertEqual(gateway.logged, [])
        self.assertEqual(answer("192.0.2.3"), Verdict.NEXT)
        self.assertEqual(gateway.logged[0].level, "warn")

    def test_messages_are_counted_and_stamped(self):
        gateway = FakeGateway(stores={"counters": {}})
        plugin = gatekeeper(store="counters", header="X-Seen")
        for count in [1, 2]:
            message = FakeMessage("Subject: a\n\nbody\n", grants=["rewrite-headers"])
            self.assertEqual(plugin.message(message), Verdict.NEXT)
            stamped = f"X-Seen: message {count}\r\nSubject: a\r\n\r\nbody\r\n"
            self.assertEqual(message.edited, stamped)
        self.assertEqual(gateway.counted, {"messages": 2})

    def test_without_a_store_or_an_answer_from_it_the_message_was_checked(self):
        FakeGateway()
        for settings in [{}, {"store": "elsewhere"}]:
            message = FakeMessage("Subject: a\n\nbody\n", grants=["rewrite-headers"])
            gatekeeper(**settings).message(message)
            self.assertEqual(message.edits, [("add_header", 0, "X-Gatekeeper", "checked")])

    def test_mistakes_in_the_settings_are_told_in_plain_words(self):
        for settings, told in [
            ({}, "refuse: missing"),
            ({"refuse": [3]}, "refuse[0]: expected a string, found a whole number"),
            ({"refuse": "a"}, "refuse: expected a list, found a string"),
            (
                {"refuse": [], "lits": "x"},
                "lits: unknown key, expected refuse, list, store or header",
            ),
        ]:
            with self.assertRaises(SettingsError) as raised:
                configure(Gatekeeper, settings)
            self.assertEqual(str(raised.exception), told)
