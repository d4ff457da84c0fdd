"""The world around the gateway: who has which address, name and key, and what DNS says of it.

All of it is made up, by a seed: no name here is asked from anybody but the name server of the run.
"""
import base64
import functools
import ipaddress
import random
import subprocess

import dkim

OURS = "example.org"
GATEWAY = "mx.example.org"
# The parts of the world that each kind of host comes from; none is reserved, since filters know which are.
NETWORKS = {
    "home": [(24, 30), (71, 90), (86, 99), (178, 190)],
    "hosting": [(45, 46), (51, 52), (144, 149), (192, 195)],
    "mail": [(17, 18), (40, 41), (54, 55), (209, 210)],
}
# Public lists, and what they say of a listed address or name. How many of the bad they know is this
# corpus' assumption, kept below what the lists' operators claim.
ADDRESS_LISTS = {
    "zen.spamhaus.org": {"bot": (0.8, "127.0.0.4"), "dynamic": (0.6, "127.0.0.10"),
                         "snowshoe": (0.5, "127.0.0.3"), "sender": (0.5, "127.0.0.2")},
    "bl.spamcop.net": {"bot": (0.4, "127.0.0.2"), "snowshoe": (0.2, "127.0.0.2"),
                       "sender": (0.3, "127.0.0.2")},
    "b.barracudacentral.org": {"bot": (0.7, "127.0.0.2"), "snowshoe": (0.4, "127.0.0.2"),
                               "sender": (0.4, "127.0.0.2")},
    "psbl.surriel.com": {"bot": (0.5, "127.0.0.2"), "snowshoe": (0.1, "127.0.0.2"),
                         "sender": (0.2, "127.0.0.2")},
    "bl.mailspike.net": {"bot": (0.5, "127.0.0.11"), "snowshoe": (0.4, "127.0.0.12"),
                         "sender": (0.3, "127.0.0.12")},
    "bl.blocklist.de": {"bot": (0.2, "127.0.0.9")},
    "dnsbl-1.uceprotect.net": {"bot": (0.4, "127.0.0.2"), "shared": (1, "127.0.0.2"),
                               "snowshoe": (0.3, "127.0.0.2")},
    "list.dnswl.org": {"known": (0.7, "127.0.5.1")},
    "ix.dnsbl.manitu.net": {"bot": (0.4, "127.0.0.2"), "snowshoe": (0.3, "127.0.0.2")},
}
NAME_LISTS = {
    "dbl.spamhaus.org": {"spam": (0.7, "127.0.1.2"), "phish": (0.6, "127.0.1.4"),
                         "hacked": (0.4, "127.0.1.102")},
    "multi.surbl.org": {"spam": (0.6, "127.0.0.64"), "phish": (0.7, "127.0.0.8"),
                        "hacked": (0.3, "127.0.0.128")},
    "multi.uribl.com": {"spam": (0.7, "127.0.0.2"), "phish": (0.3, "127.0.0.2")},
    "uribl.spameatingmonkey.net": {"spam": (0.4, "127.0.0.2")},
}


class World:
    """Names, addresses and records, by the seed."""

    def __init__(self, seed, now):
        self.seed, self.now = seed, now
        self.records = {}
        self.used = set()
        self.domains = {}
        self.publish(".", "SOA", "ns.example. root.example. 1 3600 600 86400 60")
        self.publish(".", "NS", "ns.example.")
        self.publish("ns.example", "A", "127.0.0.1")
        for name in [*ADDRESS_LISTS, *NAME_LISTS]:
            test = "2.0.0.127." + name if name in ADDRESS_LISTS else "test." + name
            self.publish(test, "A", "127.0.0.2")
        self.ours = self.domain(OURS, ["192.0.2.25"], spf="-all", dmarc="reject")
        self.host(GATEWAY, "192.0.2.25")
        # As in the real world; scenarios of the example know it.
        self.domain("example.net", [], key=False, dmarc="reject", mx=False)
        self.publish("example.net", "MX", "0 .")

    def learn(self, configuration):
        """What the world knows of the configuration: whom it trusts, how it signs senders."""
        trusted = ((configuration.plugin("authentication") or {}).get("arc") or {}).get("trusted") or []
        self.trusted_sealer = (trusted or ["lists.example.net"])[0]

    def signed(self, user, number):
        """The address that a user's mail has as its sender, where replies of servers go."""
        return user

    def random(self, name):
        """Chance of its own for each class, so that a new one leaves the others as they are."""
        return random.Random(f"{self.seed}/{name}")

    def publish(self, name, kind, data):
        entries = self.records.setdefault(name.lower().strip(".") + ".", [])
        if (kind, data) not in entries:
            entries.append((kind, data))

    def text(self, name, value):
        pieces = [value[at:at + 200] for at in range(0, len(value), 200)]
        self.publish(name, "TXT", " ".join('"%s"' % piece.replace('"', '\\"') for piece in pieces))

    def address(self, rng, kind="home", network=None):
        """An address that nobody has yet; in this /24, if one is given."""
        while True:
            if network:
                parts = [*network.split(".")[:3], rng.randint(2, 250)]
            else:
                low, high = rng.choice(NETWORKS[kind])
                parts = [rng.randrange(low, high), *(rng.randint(3, 250) for _ in range(3))]
            address = ".".join(map(str, parts))
            if address not in self.used:
                self.used.add(address)
                return address

    def address6(self, rng):
        """The same of IPv6."""
        return f"2a01:4f8:{rng.getrandbits(16):x}:{rng.getrandbits(16):x}::{rng.randint(2, 99):x}"

    def host(self, name, address, back=True, forth=True):
        """A host whose address has this name (back), and whose name has this address (forth)."""
        if back:
            self.publish(ipaddress.ip_address(address).reverse_pointer, "PTR", name + ".")
        if forth:
            self.publish(name, "AAAA" if ":" in address else "A", address)
        return address

    def household(self, rng):
        """An address at a provider for homes, with the name that such ones have."""
        address = self.address(rng, "home")
        provider = rng.choice(["cable", "dsl", "fibre"])
        self.host(f"{address.replace('.', '-')}.dyn.{provider}net.example", address)
        return address

    def domain(self, name, addresses, **options):
        """Somebody's domain; see Domain. Asked for twice, it is the same one."""
        if name not in self.domains:
            self.domains[name] = Domain(self, name, addresses, **options)
        return self.domains[name]

    def blame(self, rng, address, role, lists=None):
        """Has the lists know an address, each as likely as its table says; or these for sure."""
        for name, roles in ADDRESS_LISTS.items():
            if role in roles:
                likely, code = roles[role]
                if (name in lists) if lists is not None else rng.random() < likely:
                    self.publish(f"{reverse(address)}.{name}", "A", code)

    def shame(self, rng, domain, role):
        """Has at least one of the lists know a domain."""
        found = []
        while not found:
            found = [(name, roles[role][1]) for name, roles in NAME_LISTS.items()
                     if role in roles and rng.random() < roles[role][0]]
        for name, code in found:
            self.publish(f"{domain}.{name}", "A", code)

    def zone(self):
        """All of it as one zone file, for the root."""
        records = [f"{name} IN {kind} {data}" for name, entries in self.records.items()
                   for kind, data in entries]
        return "\n".join(["$ORIGIN .", "$TTL 3600", *records]) + "\n"


class Domain:
    """A domain that sends mail, and what it says of itself in DNS."""

    def __init__(self, world, name, addresses, spf="-all", key=True, dmarc=None, mx=True, also=""):
        self.world, self.name = world, name
        self.addresses = list(addresses)
        self.has_key = key
        world.publish(name, "A", "192.0.2.80")
        if mx:
            world.publish(name, "MX", f"10 mx.{name}.")
            world.publish("mx." + name, "A", "192.0.2.81")
        if spf:
            mechanisms = [f"ip{6 if ':' in address else 4}:{address}" for address in self.addresses]
            world.text(name, " ".join(["v=spf1", *mechanisms, *also.split(), spf]))
        if key:
            world.text("s1._domainkey." + name, "v=DKIM1; k=rsa; p=" + pair()[1])
        if dmarc:
            world.text("_dmarc." + name, f"v=DMARC1; p={dmarc}")

    def sign(self, message, fields=(b"from", b"to", b"subject", b"date", b"message-id")):
        """The message with a DKIM signature of this domain on top."""
        name = self.name.encode()
        signature = dkim.sign(message, b"s1", name, pair()[0], include_headers=list(fields))
        return signature + message

    def seal(self, message, results):
        """The message with an ARC set of this domain on top: `results` is what it saw as it came."""
        name = self.name.encode()
        field = f"Authentication-Results: {self.name}; {results}\r\n".encode()
        sets = dkim.arc_sign(field + message, b"s1", name, pair()[0], srv_id=name,
                             include_headers=[b"from", b"to", b"subject", b"date", b"message-id"])
        if not sets:
            raise ValueError("no ARC set was made")
        return b"".join(sets) + message


@functools.cache
def pair():
    """The key of the whole world: private as PEM, public as base64. It is made for each run, and short, as
    many real ones still are: dkimpy calculates for itself."""
    def openssl(*arguments, given=None):
        return subprocess.run(["openssl", *arguments], input=given, check=True,
                              capture_output=True).stdout
    private = openssl("genrsa", "-traditional", "1024")
    public = openssl("rsa", "-pubout", "-outform", "DER", given=private)
    return private, base64.b64encode(public).decode()


def reverse(address):
    return ".".join(reversed(address.split(".")))
