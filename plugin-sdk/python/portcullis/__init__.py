"""Plugins for Portcullis, in Python."""

from . import log, metrics
from .address import domain_of, local_part_of, reversed_ip
from .content import Message, Part, Reader, Writer
from .envelope import Credentials, Recipient, Session, Transaction
from .host import GatewayError
from .plugin import Plugin
from .settings import SettingsError
from .verdict import Authentication, Reply, Verdict

__all__ = [
    "Authentication",
    "Credentials",
    "GatewayError",
    "Message",
    "Part",
    "Plugin",
    "Reader",
    "Recipient",
    "Reply",
    "Session",
    "SettingsError",
    "Transaction",
    "Verdict",
    "Writer",
    "domain_of",
    "local_part_of",
    "log",
    "metrics",
    "reversed_ip",
]
