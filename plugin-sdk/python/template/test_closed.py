import unittest

from closed import Closed
from portcullis import Recipient, SettingsError, Verdict
from portcullis.testing import configure


class ClosedTest(unittest.TestCase):
    def test_closed_domains_are_refused(self):
        closed = configure(Closed, {"domains": ["closed.example"]})
        for address, verdict in [
            ("a@Closed.example", Verdict.reject(550, "5.7.1", "closed for good")),
            ("a@open.example", Verdict.NEXT),
        ]:
            self.assertEqual(closed.rcpt(Recipient(address)), verdict, address)

    def test_misspelt_settings_are_found(self):
        with self.assertRaisesRegex(SettingsError, "^domain: unknown key, expected domains$"):
            configure(Closed, {"domain": []})
