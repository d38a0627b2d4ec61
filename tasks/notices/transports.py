"""How one notice reaches one receiver: an HTTP request or an e-mail, over 20 s after it is connected at most.

Nothing is followed: what redirects has not taken the notice. Certificates are verified by the machine's
authorities. Proxies of the environment count for nothing.
"""

import base64
import hmac
import http.client
import json
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from masterflow.tasks.notices.notice import Notice
from masterflow.tasks.notices.receivers import (
    Address,
    MailReceiver,
    Receiver,
    SlackReceiver,
    WebhookReceiver,
    key_of,
)

#: For connecting or one answer, and for all of it.
ANSWER_TIMEOUT_S: Final = 10.0
WHOLE_TIMEOUT_S: Final = 20.0

_DOMAIN: Final = "masterflow.invalid"
_BUSY: Final = frozenset({408, 425, 429})
_GONE: Final = 410


class NoticeRefused(Exception):
    """A receiver did not take a notice; the message says why, and quotes nothing of its address."""

    def __init__(self, why: str, *, is_away: bool, is_final: bool = False) -> None:
        super().__init__(why)
        #: It would take no other one now either.
        self.is_away = is_away
        #: It will never take it.
        self.is_final = is_final


def send(notice: Notice, receiver: Receiver, *, now_s: float, whole_s: float = WHOLE_TIMEOUT_S) -> None:
    """Tell a receiver.

    Raises:
        NoticeRefused: it did not take it.
    """
    try:
        match receiver:
            case WebhookReceiver():
                body = webhook_body(notice, receiver)
                _post(receiver.address, body, webhook_headers(notice, receiver, body, now_s=now_s), whole_s)
            case SlackReceiver():
                body = json.dumps({"text": slack_text(notice, receiver)}).encode()
                _post(receiver.address, body, {}, whole_s)
            case MailReceiver():
                _mail(receiver, mail_of(notice, receiver), whole_s)
    except (OSError, http.client.HTTPException, smtplib.SMTPException, ValueError) as error:
        raise NoticeRefused(_cause(error), is_away=True) from None


def webhook_body(notice: Notice, receiver: WebhookReceiver) -> bytes:
    """Return the body: `{"type": "flow.failed", "timestamp", "data": {the notice, "text", "link"}}`."""
    data = notice.model_dump(mode="json") | {"text": notice.sentence, "link": _link(notice, receiver)}
    return json.dumps({"type": notice.named, "timestamp": data["at"], "data": data}).encode()


def webhook_headers(
    notice: Notice, receiver: WebhookReceiver, body: bytes, *, now_s: float
) -> dict[str, str]:
    """Return the headers of the Standard Webhooks: each secret signs `<id>.<time>.<body>`."""
    sent_at = str(int(now_s))
    content = f"{notice.id}.{sent_at}.".encode() + body
    digests = (hmac.digest(key_of(secret), content, "sha256") for secret in receiver.secrets)
    signatures = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
    return {
        "webhook-id": str(notice.id),
        "webhook-timestamp": sent_at,
        "webhook-signature": signatures,
    }


def slack_text(notice: Notice, receiver: SlackReceiver) -> str:
    """Return a sentence in which nothing that a flow says links, mentions or formats."""
    text = notice.sentence.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    link = _link(notice, receiver)
    return f"{text} <{link}|Show it>" if link else text


def mail_of(notice: Notice, receiver: MailReceiver) -> EmailMessage:
    """Return the e-mail, whose Message-ID is the same at every try."""
    mail = EmailMessage()
    mail["From"], mail["To"] = receiver.sender, ", ".join(receiver.to)
    mail["Subject"] = notice.sentence[:150]
    mail["Date"] = format_datetime(notice.at)
    mail["Message-ID"] = f"<{notice.id}@{_DOMAIN}>"
    mail["Auto-Submitted"] = "auto-generated"
    link = _link(notice, receiver)
    mail.set_content(
        f"{notice.sentence}\n\n{f'{link}{chr(10)}' if link else ''}It happened at {notice.at}.\n"
    )
    return mail


def _link(notice: Notice, receiver: Receiver) -> str | None:
    return f"{receiver.page.rstrip('/')}/flows/{notice.flow_id}" if receiver.page else None


def _post(address: Address, body: bytes, headers: dict[str, str], whole_s: float) -> None:
    kind = http.client.HTTPSConnection if address.is_encrypted else http.client.HTTPConnection
    with _connected(address, whole_s) as channel, closing(kind(address.host, address.port)) as connection:
        connection.sock = channel
        sent = {"content-type": "application/json", "user-agent": "masterflow", **headers}
        connection.request("POST", address.path, body, sent)
        status = connection.getresponse().status
    if not 200 <= status < 300:
        is_away = status >= 500 or status in _BUSY
        raise NoticeRefused(f"it answered {status}", is_away=is_away, is_final=status == _GONE)


def _mail(receiver: MailReceiver, mail: EmailMessage, whole_s: float) -> None:
    address = receiver.address
    with _connected(address, whole_s) as channel, closing(_MailServer(address, channel)) as server:
        if not address.is_encrypted and not receiver.plain:
            server.starttls(context=ssl.create_default_context())
        if address.user:
            server.login(address.user, address.password)
        server.send_message(mail)


class _MailServer(smtplib.SMTP):
    """A mail server at the other end of a connection."""

    def __init__(self, address: Address, channel: socket.socket) -> None:
        self._channel = channel
        super().__init__(address.host, address.port)

    def _get_socket(self, *_: object) -> socket.socket:
        return self._channel


@contextmanager
def _connected(address: Address, whole_s: float) -> Iterator[socket.socket]:
    """Give a connection, which ends for both sides after a time: whoever drips does not hold us for longer.

    Raises:
        TimeoutError: it was ended so, whatever its reader made of that.
    """
    # TLS takes the socket over, in the middle of whose handshake another handle ends it all the same.
    raw = socket.create_connection((address.host, address.port), ANSWER_TIMEOUT_S)
    with closing(raw.dup()) as handle, closing(_channel(raw, address)) as channel:
        is_over = threading.Event()
        timer = threading.Timer(whole_s, _end, (handle, is_over))
        timer.daemon = True
        timer.start()
        try:
            if isinstance(channel, ssl.SSLSocket):
                channel.do_handshake()
            yield channel
        finally:
            timer.cancel()
            # What was cut off in its headers looks whole to http.client.
            if is_over.is_set():
                raise TimeoutError


def _channel(raw: socket.socket, address: Address) -> socket.socket:
    if not address.is_encrypted:
        return raw
    try:
        context = ssl.create_default_context()
        return context.wrap_socket(raw, server_hostname=address.host, do_handshake_on_connect=False)
    except BaseException:
        raw.close()
        raise


def _end(handle: socket.socket, is_over: threading.Event) -> None:
    is_over.set()
    with suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)


def _cause(error: Exception) -> str:
    """Return what went wrong, without what a server answers to a login."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "it refuses the user or the password"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"it answered {error.smtp_code}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be reached ({error.strerror})"
    return f"it cannot be told ({type(error).__name__})"
