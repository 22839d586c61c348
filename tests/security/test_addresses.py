from ipaddress import ip_address, ip_network

import pytest

from llamakeep.webhooks.addresses import Guard, NotAllowed, is_public

CLOSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::10.0.0.1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
OPEN = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.0.1.1",
    "198.20.0.1",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
]


@pytest.mark.parametrize("address", CLOSED)
def test_addresses_that_are_not_on_the_internet_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", OPEN)
def test_machines_on_the_internet_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", CLOSED)
def test_nobody_may_name_an_address_that_is_not_on_the_internet(address: str) -> None:
    host = f"[{address}]" if ":" in address else address

    with pytest.raises(NotAllowed):
        Guard().target(f"https://{host}/hook")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/hook",
        "//example.com/hook",
        "https:/example.com",
        "https:example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http://example.com/",
        "https://example.com:8443/",
        "https://example.com:80/",
        "https://example.com:0/",
        f"https://{60 * 'abcd.'}example.com/",
        "https://example.com:99999/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com@127.0.0.1/",
        "https://127.0.0.1#@example.com/",
        "https://example.com/#there",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/a\\b",
        "https://example.com/a b",
        "https://example.com/\r\nx-evil: 1",
        "https://example.com/\u00fc",
        "https://ex\u00e4mple.com/",
        "http\u017f://example.com/",
        "https://e\u017fample.com/",
        "https://\u0130.example.com/",
        "https://\u0131.example.com/",
        "https://\u212a.example.com/",
        "https://127\u30020.0.1/",
        "https://\uff11\uff12\uff17.0.0.1/",
        " https://example.com/",
        "https://example.com/\n",
        "https://exa%6dple.com/",
        "https:///hook",
        "https://.example.com/",
        "https://[fe80::1%25eth0]/",
        "https://[::1/",
        "https://[example.com]/",
        # Loopback, as some resolvers and libraries read it.
        "https://127.1/",
        "https://127.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://127.0.0.1./",
        "https://127.0.0.01/",
        "https://0/",
        "https://0x/",
        # Names of the server's own network.
        "https://localhost/",
        "https://LOCALHOST/",
        "https://localhost./",
        "https://a.localhost/",
        "https://database/",
        "https://printer.local/",
        "https://metadata.google.internal/",
        "https://router.home.arpa/",
    ],
)
def test_nobody_may_name_a_url_that_is_not_plainly_on_the_internet(url: str) -> None:
    with pytest.raises(NotAllowed):
        Guard().target(url)


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://example.com", "example.com", "/"),
        ("HTTPS://Example.COM/Hook", "example.com", "/Hook"),
        ("https://example.com:443/a?b=c&d=@", "example.com", "/a?b=c&d=@"),
        ("https://example.com?run=1", "example.com", "/?run=1"),
        ("https://example.com./", "example.com", "/"),
        ("https://xn--exmple-cua.com/", "xn--exmple-cua.com", "/"),
        ("https://a_b.example.com//x", "a_b.example.com", "//x"),
        ("https://8.8.8.8/", "8.8.8.8", "/"),
        ("https://[2606:4700::1111]/x", "[2606:4700::1111]", "/x"),
    ],
)
def test_a_url_on_the_internet_leads_where_it_says(
    url: str, authority: str, path: str
) -> None:
    target = Guard().target(url)

    assert (target.authority, target.path) == (authority, path)
    assert (target.scheme, target.port) == ("https", 443)


@pytest.mark.parametrize(
    "url",
    [
        "http://10.1.2.3:8080/hook",
        "https://10.1.2.3/hook",
        "http://receiver:8080/",
        "http://[fd12::1]:80/",
    ],
)
def test_an_operators_networks_may_be_named_with_any_port_and_plain_http(
    url: str,
) -> None:
    guard = Guard([ip_network("10.1.0.0/16"), ip_network("fd12::/64")])

    assert url.startswith(guard.target(url).scheme)


@pytest.mark.parametrize(
    "url",
    [
        "http://10.2.0.1/",
        "https://127.0.0.1/",
        "http://8.8.8.8/",
        "https://8.8.8.8:8443/",
        "https://[::ffff:10.1.2.3]/",
        "https://[64:ff9b::10.1.2.3]/",
    ],
)
def test_an_operators_networks_open_nothing_else(url: str) -> None:
    guard = Guard([ip_network("10.1.0.0/16")])

    with pytest.raises(NotAllowed):
        guard.target(url)


def test_a_name_with_a_port_is_only_allowed_where_the_operators_network_is() -> None:
    guard = Guard([ip_network("10.1.0.0/16")])

    target = guard.target("http://receiver.example:8080/")

    assert guard.allows(target, ip_address("10.1.0.9"))
    assert not guard.allows(target, ip_address("8.8.8.8"))
    assert not guard.allows(target, ip_address("127.0.0.1"))
