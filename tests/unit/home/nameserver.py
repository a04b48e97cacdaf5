"""A DNS server on loopback that knows a few names, and how servers misbehave."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from orrery.wire.endpoint import Endpoint

_UDP_BYTES = 512
_TTL_S = 60


class NameServer:
    """Answers by what stands in `records`, which may change while it runs.

    Attributes:
        records: By name: rows of "A 1.1.1.1", "AAAA ::1" and "CNAME b.example."; or one word for
            how it misbehaves: "silent", "refused", "servfail", "mute-aaaa" (with rows before).
        asked: What was asked, as "A name udp", in order.
    """

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.endpoint = Endpoint.NIL

    def answer(self, data: bytes, way: str) -> bytes | None:
        """The answer to a query, None for silence."""
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = question.name, question.rdtype
        text = name.to_text(omit_final_dot=True).lower()
        self.asked.append(f"{dns.rdatatype.to_text(kind)} {text} {way}")
        response = dns.message.make_response(query)
        rows = self.records.get(text)
        if rows == ["silent"] or (rows and "mute-aaaa" in rows and kind == dns.rdatatype.AAAA):
            return None
        if rows is None or rows in (["refused"], ["servfail"]):
            response.set_rcode(dns.rcode.from_text((rows or ["nxdomain"])[0]))
            return bytes(response.to_wire())
        self._add(response, name, kind, seen=())
        wire = bytes(response.to_wire(max_size=65_535))
        if way == "udp" and len(wire) > _UDP_BYTES:
            short = dns.message.make_response(query)
            short.flags |= dns.flags.TC
            return bytes(short.to_wire())
        return wire

    def _add(
        self,
        response: dns.message.Message,
        name: dns.name.Name,
        kind: dns.rdatatype.RdataType,
        seen: tuple[dns.name.Name, ...],
    ) -> None:
        """Put the records of a name into an answer, and those of what it is an alias of."""
        rows = [row.split() for row in self.records.get(name.to_text(omit_final_dot=True), ())]
        for wanted in (dns.rdatatype.CNAME, kind):
            texts = [row[1] for row in rows if row[0] == dns.rdatatype.to_text(wanted)]
            if texts:
                found = dns.rrset.from_text_list(name, _TTL_S, dns.rdataclass.IN, wanted, texts)
                response.answer.append(found)
            if texts and wanted == dns.rdatatype.CNAME and name not in seen:
                self._add(response, dns.name.from_text(texts[0]), kind, (*seen, name))


@contextmanager
def running() -> Iterator[NameServer]:
    """A server while the body runs; its `endpoint` says where."""
    server = NameServer()

    class Udp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            if (answer := server.answer(data, "udp")) is not None:
                sock.sendto(answer, self.client_address)

    class Tcp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            size = int.from_bytes(self.request.recv(2, socket.MSG_WAITALL))
            answer = server.answer(self.request.recv(size, socket.MSG_WAITALL), "tcp")
            if answer is not None:
                self.request.sendall(len(answer).to_bytes(2) + answer)

    udp, tcp = _on_one_port(Udp, Tcp)
    server.endpoint = Endpoint.from_text(f"127.0.0.1:{udp.server_address[1]}")
    threads = [
        threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.02})
        for each in (udp, tcp)
    ]
    for thread in threads:
        thread.start()
    try:
        yield server
    finally:
        for each, thread in zip((udp, tcp), threads, strict=True):
            each.shutdown()
            thread.join()
            each.server_close()


def _on_one_port(
    udp: type[socketserver.BaseRequestHandler], tcp: type[socketserver.BaseRequestHandler]
) -> tuple[socketserver.UDPServer, socketserver.TCPServer]:
    while True:
        first = socketserver.UDPServer(("127.0.0.1", 0), udp)
        try:
            return first, socketserver.TCPServer(("127.0.0.1", first.server_address[1]), tcp)
        except OSError:  # somebody has that port of TCP
            first.server_close()
