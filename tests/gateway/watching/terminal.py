"""Runs a program on a terminal of its own, presses keys, and looks at how it leaves the terminal.

Arguments: how it is to end (q or TERM), and the program with its arguments.
"""

import fcntl, os, pty, select, signal, struct, sys, termios, time

ending, program = sys.argv[1], sys.argv[2:]


def resize(rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def read_until(text):
    """Everything up to some text; the cursor moves between words, so that it is one word."""
    read, end = b"", time.monotonic() + 60
    while text not in read:
        assert time.monotonic() < end, f"{text} is not in {read!r}"
        if select.select([terminal], [], [], 1)[0]:
            try:
                read += os.read(terminal, 65536)
            except OSError:  # The other end is closed.
                assert text in read, f"{text} is not in {read!r}"
    return read


terminal, inside = pty.openpty()
before = termios.tcgetattr(inside)
resize(40, 160)
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(inside, termios.TIOCSCTTY, 0)
    for number in (0, 1, 2):
        os.dup2(inside, number)
    os.environ.update(NO_COLOR="1", TERM="xterm")
    os.execv(program[0], program)

shown = read_until(b"b@example.com")
assert b"\x1b[?1049h" in shown, "another screen"
assert b"LISTENER" in shown and b"accepted" in shown
for colour in (b"\x1b[31m", b"\x1b[32m", b"\x1b[38;5;", b"\x1b[91m"):
    assert colour not in shown, "NO_COLOR is set"
assert termios.tcgetattr(inside)[3] & termios.ICANON == 0, "keys come one by one"
os.write(terminal, b"p")
read_until(b"paused")
os.write(terminal, b"p/nobody@\r")
read_until(b"nobody@")
os.write(terminal, b"/\x1b")
resize(20, 60)
os.kill(child, signal.SIGWINCH)
read_until(b"portcullis")
os.write(terminal, b"\x1b[B\x1b[A")
if ending == "q":
    os.write(terminal, b"q")
else:
    os.kill(child, signal.SIGTERM)
read_until(b"\x1b[?1049l")
_, status = os.waitpid(child, 0)
assert status == 0, status
assert termios.tcgetattr(inside)[3] == before[3], "the terminal is as it was"
print("given back")
