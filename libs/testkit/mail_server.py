#!/usr/bin/env python3
"""A mail server for tests: aiosmtpd from its wheel, which keeps what it takes and answers as it is told.

    mail_server.py [--tls CERTIFICATE KEY] PORT [USER PASSWORD]

Prints the port it listens on (PORT 0: a free one). Then for each line of JSON on standard input one on standard output:
`null` asks for all that happened; a list of rules replaces those before. A rule is {"at": "mail", "rcpt" or "data",
"to": part of a recipient, "answer": "450 4.2.1 busy", "times": 2}: the answer to the first so many askings for each
recipient, 0: to all. The answer "lost" takes the e-mail and closes the connection without a word.
"""

import argparse
import asyncio
import json
import ssl
import sys
from collections import Counter
from email import message_from_bytes, policy
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy" / "dev"))
import tools  # noqa: E402
from state import Failed  # noqa: E402

WHEEL = "aiosmtpd==1.4.6"


class Handler:
    def __init__(self):
        self.happened, self.rules, self.asked = [], [], Counter()

    def note(self, what: str, **more):
        self.happened.append({"what": what, **more})

    def answer(self, at: str, to: str) -> str | None:
        for place, rule in enumerate(self.rules):
            if rule["at"] == at and rule["to"] in to:
                self.asked[place, to] += 1
                if rule["times"] == 0 or self.asked[place, to] <= rule["times"]:
                    return rule["answer"]
        return None

    async def handle_MAIL(self, _server, _session, envelope, address, _options):
        refusal = self.answer("mail", address)
        self.note("mail", address=address)
        if refusal:
            return refusal
        envelope.mail_from = address
        return "250 2.1.0 OK"

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        refusal = self.answer("rcpt", address)
        self.note("rcpt", address=address)
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, _session, envelope):
        answer = self.answer("data", " ".join(envelope.rcpt_tos))
        if answer and answer != "lost":
            self.note("refused")
            return answer
        message = message_from_bytes(envelope.content, policy=policy.default)
        parts = {kind: message.get_body((kind,)) for kind in ("plain", "html")}
        self.note("e-mail", sender=envelope.mail_from, to=envelope.rcpt_tos,
                  headers=[[name, str(value)] for name, value in message.items()],
                  text=parts["plain"].get_content() if parts["plain"] else "",
                  page=parts["html"].get_content() if parts["html"] else "")
        if answer == "lost":
            server.transport.abort()
        return "250 2.0.0 OK"


async def serve(port: int, login: list[str], tls: ssl.SSLContext | None) -> None:
    from aiosmtpd.smtp import SMTP, AuthResult
    handler = Handler()

    def let_in(_server, _session, _envelope, _mechanism, data):
        handler.note("login", address=data.login.decode())
        is_known = [data.login.decode(), data.password.decode()] == login
        return AuthResult(success=is_known, handled=is_known)  # not handled: the refusal is aiosmtpd's to say

    def connection():
        handler.note("connection")
        return SMTP(handler, enable_SMTPUTF8=False, auth_require_tls=False, auth_required=bool(login),
                    authenticator=let_in if login else None, hostname="mail.example")

    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", port, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():  # to the end of whoever started it
        rules = json.loads(line)
        if rules is None:
            print(json.dumps(handler.happened), flush=True)
        else:
            handler.rules, handler.asked = rules, Counter()
            print("[]", flush=True)


def main() -> int:
    try:
        sys.path.insert(0, str(tools.folder(WHEEL)))
    except Failed as failure:
        print(f"mail server: {failure}", file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="PEM files: TLS from the start")
    parser.add_argument("port", type=int)
    parser.add_argument("login", nargs="*")
    asked = parser.parse_args()
    tls = None
    if asked.tls:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*asked.tls)
    asyncio.run(serve(asked.port, asked.login, tls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
