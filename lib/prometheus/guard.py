"""Which addresses a source may be at. Sources live in private networks, so those are open; what gives keys away
to whoever asks (cloud metadata, link-local) is not, under any spelling, and neither by a redirect nor by a name that
resolves there only the second time."""

from __future__ import annotations

import ipaddress
import socket
import threading
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from lib.errors import SourceDown, SourceSlow, UrlRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Iterable[str]]

# Where the big clouds hand out credentials, beside link-local itself.
_METADATA_NETWORKS = tuple(
    ipaddress.ip_network(n)
    for n in (
        "fd00:ec2::/32",  # Amazon, IPv6
        "fd20:ce::/32",  # Google, IPv6
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's host agent
        "192.0.0.192/32",  # Oracle, classic
    )
)
_METADATA_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"}
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_DOTS = str.maketrans("。．｡", "...")


def resolve_by_system(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True)
class Subject:
    """What an address is for, as refusals speak of it. secrets: where user and password go instead; rest: what the
    address is without what comes after it."""

    thing: str = "metrics source"
    example: str = "http://prometheus.example:9090"
    secrets: str = "choose basic authentication and fill them in there"
    rest: str = "it is the part before /api/v1"


@dataclass(frozen=True)
class Guard:
    """schemes: what a URL may begin with. resolve: tests hand in another."""

    schemes: frozenset[str] = frozenset({"http", "https"})
    allow_link_local: bool = False
    resolve: Resolve = resolve_by_system
    subject: Subject = Subject()

    def check(self, url: str) -> str:
        """The URL as it will be used (no trailing slash), or UrlRefused with what is wrong with it."""
        parts, host = self._parts(url)
        self._check_name(host)
        return parts.geturl().rstrip("/")

    def addresses(self, host: str, port: int, timeout_s: float = 10.0) -> list[str]:
        """Checked addresses of `host`, to connect to exactly these. One refused address refuses the name: a
        name that answers with both kinds is an attempt, not an accident."""
        host = _plain(host)
        self._check_name(host)
        literal = _literal(host)
        found = [str(literal)] if literal else self._resolved(host, port, timeout_s)
        for address in found:
            self._check_address(ipaddress.ip_address(address.split("%")[0]), host)
        return found

    def is_near(self, host: str, port: int, timeout_s: float = 10.0) -> bool:
        """Loopback or a private network, where compressing costs more than sending."""
        addresses = [ipaddress.ip_address(a.split("%")[0]) for a in self.addresses(host, port, timeout_s)]
        return all(a.is_private or a.is_loopback for a in addresses)

    def _parts(self, url: str) -> tuple[SplitResult, str]:
        if any(c.isspace() or not c.isprintable() or c == "\\" for c in url):
            raise UrlRefused("The URL has blanks, backslashes or invisible characters in it; type it again.")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise UrlRefused(f"This is not a URL; it should look like {self.subject.example}.") from None
        if parts.scheme.lower() not in self.schemes:
            allowed = ", ".join(sorted(self.schemes))
            scheme = parts.scheme or "none"
            raise UrlRefused(f"The scheme “{scheme}” is not allowed for a {self.subject.thing}; use {allowed}.")
        if parts.username is not None or parts.password is not None:
            raise UrlRefused(f"Leave user and password out of the URL; {self.subject.secrets}.")
        if not host:
            raise UrlRefused(f"The URL names no host; it should look like {self.subject.example}.")
        if port == 0:
            raise UrlRefused("Port 0 is not one a server can listen on.")
        if parts.query or parts.fragment:
            raise UrlRefused(f"Leave everything from “?” or “#” on out of the URL; {self.subject.rest}.")
        return parts, _plain(host)

    def _check_name(self, host: str) -> None:
        if self.allow_link_local:
            return
        if host in _METADATA_NAMES:
            raise UrlRefused(f"{host} is a cloud's metadata service, not a {self.subject.thing}.")
        literal = _literal(host)
        if literal:
            self._check_address(literal, host)

    def _check_address(self, address: Address, host: str) -> None:
        if self.allow_link_local:
            return
        for form in _forms(address):
            if form.is_link_local or any(form in n for n in _METADATA_NETWORKS if n.version == form.version):
                shown = host if host == str(address) else f"{host} ({address})"
                raise UrlRefused(
                    f"{shown} is a link-local or cloud metadata address, where no {self.subject.thing} should be. "
                    "An administrator can allow these with AUTOOPS_ALLOW_LINK_LOCAL."
                )

    def _resolved(self, host: str, port: int, timeout_s: float) -> list[str]:
        """The system's resolver cannot be interrupted, so it is waited for rather than called."""
        box: list[list[str] | Exception] = []

        def ask() -> None:
            try:
                box.append(list(self.resolve(host, port)))
            except (OSError, UnicodeError) as error:
                box.append(error)

        thread = threading.Thread(target=ask, daemon=True, name="resolve")
        thread.start()
        thread.join(max(0.0, timeout_s))
        if not box:
            raise SourceSlow(f"The name {host} did not resolve within {timeout_s:.0f} s; check the name server.")
        found = box[0]
        if isinstance(found, Exception) or not found:
            raise SourceDown(f"The name {host} does not resolve; check its spelling and the network's name server.")
        return list(dict.fromkeys(found))


def _plain(host: str) -> str:
    """The name a resolver would see: full-width letters, odd dots and case undone, no root dot."""
    host = unicodedata.normalize("NFKC", host.translate(_DOTS)).lower().rstrip(".")
    try:
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise UrlRefused("The host name in the URL is not a valid one.") from None
    return host.strip("[]")


def _literal(host: str) -> Address | None:
    """The address a host spells, also as C libraries read it: 2852039166, 0xa9fea9fe, 0251.0376.0251.0376."""
    try:
        return ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        pass
    if host and host[0].isdigit():
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    return None


def _forms(address: Address) -> list[Address]:
    """The address and every IPv4 one it carries inside."""
    forms: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            forms.append(address.ipv4_mapped)
        if address.sixtofour:
            forms.append(address.sixtofour)
        if address.teredo:
            forms.extend(address.teredo)
        if address in _NAT64 or int(address) >> 32 == 0:  # NAT64, and the old IPv4-compatible form
            forms.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return forms
