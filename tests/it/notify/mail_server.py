"""A mail server that keeps what it takes: MODE PORT CERTIFICATE KEY DIRECTORY."""

import asyncio
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

mode, port, certificate, key, directory = sys.argv[1:]


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        if address.startswith("busy@"):
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        path = os.path.join(directory, f"{len(os.listdir(directory))}.eml")
        with open(path, "wb") as file:
            file.write(f"X-To: {','.join(envelope.rcpt_tos)}\r\n".encode() + envelope.content)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    is_known = data.login == b"tk" and data.password == b"hunter2hunter2hunter2hunter2"
    return AuthResult(success=is_known, handled=False)


async def main():
    context = None
    if mode != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)

    def factory():
        is_starttls = mode == "starttls"
        return SMTP(
            Handler(),
            tls_context=context if is_starttls else None,
            require_starttls=is_starttls,
            auth_required=mode != "none",
            auth_require_tls=is_starttls,
            authenticator=authenticate,
        )

    wrapped = context if mode == "tls" else None
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", int(port), ssl=wrapped)
    await server.serve_forever()


asyncio.run(main())
