"""Real messages: those of ../corpus whose kind is known, and SpamAssassin's two samples."""
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE.parent / "corpus"
# Of a package's folder of spam, those that are no spam but cases of a parser.
NO_SPAM = {"22679c63ee14", "9e48472c464b", "edc0eee403a1", "f2fcdf6366ad"}
# Of a mailing list's archive, those that are spam.
SPAM_ON_THE_LIST = (b"trafficmagnet.com", b"seekercenter.net")


def read(folder):
    return [(file.stem, file.read_bytes()) for file in sorted(folder.glob("*.eml"))]


def spams():
    found = [text for name, text in read(CORPUS / "pypi-mail-parser") if name not in NO_SPAM]
    found += [text for text in archive() if author(text).endswith(SPAM_ON_THE_LIST)]
    return [*found, (HERE / "samples/sample-spam.txt").read_bytes()]


def hams():
    found = [text for _, text in read(CORPUS / "talon")]
    found += [text for text in archive() if not author(text).endswith(SPAM_ON_THE_LIST)]
    return [*found, (HERE / "samples/sample-nonspam.txt").read_bytes()]


def archive():
    """The mails of a public mailing list."""
    return [text for _, text in read(CORPUS / "gluon") if b"\nList-" in text or b"dovecot" in text.lower()]


def author(text):
    """The address in From, or nearly."""
    for line in text.replace(b"\r\n", b"\n").split(b"\n\n", 1)[0].split(b"\n"):
        if line[:5].lower() == b"from:":
            return line.strip().rstrip(b">")
    return b""
