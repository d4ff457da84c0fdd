"""Reaches for everything, and tells in a header what came back.

tests/gateway/languages_script.rs has the same of each language.
"""

import ipaddress
import json
import logging
import random
import time

from portcullis import GatewayError, Message, Plugin, Recipient, Session, SettingsError
from portcullis import Transaction, Verdict, log, metrics
from portcullis import clock, dns, http, kv, mail_auth
from portcullis import random as gateway_random
from wrong import wrong


def reason_of(call):
    try:
        call()
    except GatewayError as error:
        return error.reason
    return "none"


class Trial(Plugin):
    def __init__(self, settings):
        print("made", settings)
        mode = settings.get("mode")
        if mode == "refuse":
            raise SettingsError("mode: no such mode")
        if mode == "draw":
            gateway_random.octets(1)
        if mode == "throw":
            wrong()
        self.recipients = 0

    def connect(self, session: Session) -> Verdict:
        session.save_json({"from": session.client_address})
        return Verdict.NEXT

    def helo(self, session: Session, name: str) -> Verdict:
        session.set_note("helo", name)
        return Verdict.NEXT

    def mail(self, transaction: Transaction) -> Verdict:
        transaction.score("TRIAL", 1.5)
        return Verdict.NEXT

    def rcpt(self, recipient: Recipient) -> Verdict:
        self.recipients += 1
        if recipient.local_part == "throws":
            wrong()
        if recipient.local_part == "undecided":
            return None
        if recipient.local_part == "endless":
            while True:
                pass
        if recipient.local_part == "ungranted":
            kv.Store("elsewhere")
        return Verdict.NEXT

    def message(self, session: Session, transaction: Transaction, message: Message) -> Verdict:
        body = message.read_body()
        store = kv.Store("store")
        store.delete("key")
        version = store.put("key", "värde", ttl=60, expect=0)
        told = {
            "address": session.load_json()["from"],
            "inside": session.client_ip in ipaddress.ip_network("127.0.0.0/8"),
            "helo": session.note("trial.helo"),
            "sender": transaction.sender,
            "size": transaction.parameters.get("SIZE"),
            "recipients": [f"{one.index} {one.address}" for one in transaction.recipients],
            "counted": self.recipients,
            "scores": transaction.scores,
            "subject": message.header("subject"),
            "nothing": len(message.headers("x-nothing")),
            "octets": message.size,
            "found": body.find("needle"),
            "digest": body.sha256()[:4].hex(),
            "skipped": body.skip(2),
            "body": body.read().decode(),
            "parts": [
                [part.content_type, part.size, part.encoded, part.text()] for part in message.parts
            ],
            "clock": abs(clock.now() / 1000 - time.time()) < 60 and clock.monotonic() > 0,
            "random": len(gateway_random.octets(3)),
            "drawn": random.random(),
            "dns": reason_of(lambda: dns.lookup("a.example")),
            "http": reason_of(lambda: http.send(http.Request("https://a.example/"))),
            "mailAuth": reason_of(lambda: mail_auth.sender(session, transaction)),
            "edit": reason_of(lambda: transaction.set_sender("b@example.org")),
            "kv": store.get("key").decode(),
            "conflict": reason_of(lambda: store.put("key", "x", expect=version + 1)),
            "sum": [store.add("sum", 5), store.add("sum", -7)],
        }
        metrics.add("trials", 2, kind="full")
        metrics.observe("size", message.size)
        log.info("tried", subject=told["subject"])
        logging.getLogger("trial").debug("tried %s", "quietly")
        message.add_header("X-Trial", json.dumps(told, ensure_ascii=False), at=0)
        message.set_header("Subject", "changed")
        message.splice_body(0, 2, "II")
        return Verdict.NEXT
