"""What is sent to whom, on real sockets: JSON to a web address, mail to a mail server."""

from __future__ import annotations

import socketserver
import threading

import pytest
from web_hook import listening

# Apprise looks for a module that Python 3.13 has not got any more.
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")]


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as one message needs."""

    def handle(self):
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            word = line[:4].upper().strip()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    text += part
                self.server.received.append(text.decode())
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return


@pytest.fixture
def mail():
    with socketserver.TCPServer(("127.0.0.1", 0), Mail) as server:
        server.received = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_web_address_is_sent_title_and_message():
    from flows.notify import block_of

    with listening() as hook:
        block_of(hook.address).notify(subject="nightly failed", body="What to do")
    assert hook.received == [{"title": "nightly failed", "message": "What to do"}]


def test_a_mail_address_is_sent_a_mail(mail):
    from flows.notify import block_of

    port = mail.server_address[1]
    block_of(f"mailto://127.0.0.1:{port}?from=edpipe@a.example&to=team@a.example&format=text").notify(
        subject="nightly failed", body="What to do"
    )
    (sent,) = mail.received
    assert "To: team@a.example" in sent
    assert "nightly failed" in sent
    assert "What to do" in sent
