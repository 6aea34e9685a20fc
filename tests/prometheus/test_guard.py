import pytest

from lib.errors import SourceDown, SourceSlow, UrlRefused
from lib.prometheus.guard import Guard


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://2852039166",
        "http://0xa9fea9fe",
        "http://0xA9.0xFE.0xA9.0xFE",
        "http://0251.0376.0251.0376:80",
        "http://169.254.43518",
        "http://[::ffff:169.254.169.254]",
        "http://[::ffff:a9fe:a9fe]:9090",
        "http://[64:ff9b::a9fe:a9fe]",
        "http://[2002:a9fe:a9fe::1]",
        "http://[fe80::1]",
        "http://[fe80::1%25eth0]",
        "http://[fd00:ec2::254]",
        "http://100.100.100.200",
        "http://168.63.129.16",
        "http://metadata.google.internal",
        "http://METADATA.google.internal.",
        "http://ｍｅｔａｄａｔａ.google.internal",
        "http://metadata。google。internal",
        "http://①⑥⑨.②⑤④.169.254",
    ],
)
def test_metadata_and_link_local_are_refused_in_any_spelling(url: str) -> None:
    with pytest.raises(UrlRefused):
        Guard().check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:9090",
        "http://127.0.0.1:9090",
        "http://[::1]:9090",
        "https://10.1.2.3/prometheus",
        "http://192.168.1.5:8428",
        "https://prometheus.example",
        "http://bücher.example",
    ],
)
def test_private_and_public_servers_are_allowed(url: str) -> None:
    assert Guard().check(url + "/") == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://prometheus", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("prometheus:9090", "scheme"),
        ("", "scheme"),
        ("http://", "no host"),
        ("http://me:secret@prometheus:9090", "basic authentication"),
        ("http://me@prometheus:9090", "basic authentication"),
        ("http://prometheus:99999", "not a URL"),
        ("http://[::1", "not a URL"),
        ("http://prometheus:0", "Port 0"),
        ("http://prometheus/?token=1", "Leave everything"),
        ("http://prometheus#x", "Leave everything"),
        ("http://prome theus", "blanks"),
        ("http://prometheus\\@169.254.169.254", "backslashes"),
        ("http://prometheus\r\nHost: x", "blanks"),
        ("http://" + "a" * 300, None),
    ],
)
def test_bad_urls_say_what_is_wrong(url: str, words: str | None) -> None:
    if words is None:
        with pytest.raises((UrlRefused, SourceDown)):
            Guard().addresses(Guard().check(url).removeprefix("http://"), 80)
        return
    with pytest.raises(UrlRefused, match=words) as refused:
        Guard().check(url)
    assert "secret" not in refused.value.message


def test_setting_allows_link_local() -> None:
    assert Guard(allow_link_local=True).check("http://169.254.10.1:9090") == "http://169.254.10.1:9090"


def test_name_that_resolves_to_metadata_is_refused() -> None:
    with pytest.raises(UrlRefused, match="innocent.example"):
        Guard(resolve=lambda host, port: ["169.254.169.254"]).addresses("innocent.example", 80)


def test_one_bad_address_among_good_ones_refuses_the_name() -> None:
    guard = Guard(resolve=lambda host, port: ["93.184.216.34", "fe80::1%2"])
    with pytest.raises(UrlRefused):
        guard.addresses("mixed.example", 80)


def test_unknown_name_is_down_and_a_silent_resolver_slow() -> None:
    import threading

    def fails(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(SourceDown, match="does not resolve"):
        Guard(resolve=fails).addresses("nowhere.example", 80)
    release = threading.Event()
    with pytest.raises(SourceSlow, match="did not resolve"):
        Guard(resolve=lambda h, p: [str(release.wait(5))]).addresses("silent.example", 80, timeout_s=0.1)
    release.set()


def test_near_means_loopback_or_private() -> None:
    assert Guard().is_near("127.0.0.1", 80) and Guard().is_near("10.0.0.1", 80)
    assert not Guard().is_near("93.184.216.34", 80)
    assert not Guard(resolve=lambda h, p: ["10.0.0.1", "93.184.216.34"]).is_near("mixed.example", 80)
