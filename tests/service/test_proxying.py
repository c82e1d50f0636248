"""The server under a path at a proxy: every address follows, and nothing but a plain path is ever believed."""

import re
import socket
import ssl
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from service.app import create_app
from service.caller import COOKIE
from service.serve import background
from service.settings import ServiceSettings, prefix_of
from store import keys
from store.database import Database
from store.errors import SettingsError
from store.settings import read
from windtunnel import Client

ADDRESSES = ("href", "src", "action", "data-worker", "data-figure")
WAYS = ("/tunnel", "/lab/whole", "/jobs", "/bare")
NO_PATHS = [
    "//evil.example",
    "/tunnel//evil",
    "https://evil.example",
    "tunnel",
    "javascript:alert(1)",
    '/"onload="alert(1)',
    "/'x",
    "/<script>",
    "/a b",
    "/a\tb",
    "/a\r\nSet-Cookie: a=b",
    "/a\n",
    "/tunnel/..",
    "/./tunnel",
    "/a?b",
    "/a#b",
    "/a\\b",
    "/%2e%2e",
    "/größe",
    "/{{ 7 * 7 }}",
    "/" + "a" * 300,
]


class Addresses(HTMLParser):
    """Collects the addresses of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found += [(name, value) for name, value in attrs if name in ADDRESSES and value]


def crawl(client: httpx.Client, prefix: str, *, fetched: Callable[[str], bool] = lambda _: True) -> set[str]:
    """Open the first page and whatever it leads to; every address must be under the prefix and answer."""
    waiting, seen = [f"{prefix}/"], set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        if not fetched(path):
            continue
        answer = client.get(path, headers={"accept": "text/html"})
        assert answer.status_code in (200, 204), (path, answer.status_code)
        if not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        for name, address in Addresses(answer.text).found:
            if address.startswith("#"):
                continue
            assert address.startswith(f"{prefix}/"), (path, address)
            # Forms are sent elsewhere in the tests.
            if name != "action":
                waiting.append(address.partition("#")[0])
    return seen


@pytest.mark.parametrize("given", NO_PATHS)
def test_what_is_no_plain_path_is_refused_with_what_is_allowed(given, tmp_path):
    with pytest.raises(ValueError, match=r"no path to serve under; allowed: /tunnel"):
        prefix_of(given)
    with pytest.raises(SettingsError, match=r"WINDTUNNEL_ROOT_PATH.*allowed: /tunnel"):
        read(ServiceSettings, root_path=given, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("given", "prefix"),
    [("", ""), ("/", ""), ("/tunnel", "/tunnel"), ("/tunnel/", "/tunnel"), ("/a/B-1/c_d.e~", "/a/B-1/c_d.e~")],
)
def test_a_plain_path_is_put_before_paths(given, prefix):
    assert prefix_of(given) == prefix


@pytest.mark.parametrize("given", [each for each in NO_PATHS if each.isascii() and each.isprintable()])
def test_a_prefix_that_is_none_is_refused_and_never_written_into_a_page(client, given):
    answer = client.get("/", headers={"x-forwarded-prefix": given, "accept": "text/html"})
    assert (answer.status_code, answer.json()["type"]) == (400, "wrong-prefix")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "allowed: /tunnel" in answer.json()["detail"]


def test_a_header_with_a_line_break_makes_no_header_of_ours(client):
    url = client.base_url
    with socket.create_connection((url.host, url.port)) as line:
        head = (
            f"GET / HTTP/1.1\r\nHost: {url.host}\r\nX-Forwarded-Prefix: /a%0d%0aSet-Cookie:x=y\r\nConnection: close\r\n\r\n"
        )
        line.sendall(head.encode())
        answer = b"".join(iter(lambda: line.recv(65_536), b"")).decode()
    assert answer.startswith("HTTP/1.1 400 ")
    assert "set-cookie" not in answer.partition("\r\n\r\n")[0].lower()


@pytest.mark.parametrize("prefix", ["", "/tunnel", "/team/tunnel/", "/v1"])
def test_every_address_of_every_page_begins_with_the_prefix(client, work, prefix):
    job_id = work.succeeded(target={"width": 512})
    plan = client.post(f"/v1/jobs/{job_id}/plans", json={"width": 256}).json()["id"]
    paths = ("/", "/?limit=1", f"/jobs/{job_id}", f"/jobs/{work.running().job_id}", f"/plans/{plan}", "/datasets", "/laws")
    root = prefix.removesuffix("/")
    for path in (*paths, "/fleet", "/keys", "/sign-in", "/jobs/nothing"):
        answer = client.get(path, headers={"x-forwarded-prefix": prefix, "accept": "text/html"})
        found = [address for _, address in Addresses(answer.text).found if not address.startswith("#")]
        assert len(found) > 10 and all(address.startswith(f"{root}/") for address in found), path


def test_one_proxy_behind_another_each_take_off_theirs(client):
    outer = [("x-forwarded-prefix", "/a"), ("x-forwarded-prefix", "/b")]
    for headers in (outer, [("x-forwarded-prefix", "/a, /b")]):
        assert 'href="/a/b/fleet"' in client.get("/", headers=headers).text


def test_only_a_named_proxy_is_believed(sqlite, tmp_path):
    headers = {"x-forwarded-prefix": "/tunnel", "x-forwarded-proto": "https"}
    for named, believed in (("10.0.0.1", False), ("127.0.0.0/8", True), ("::1,127.0.0.1", True), ("", True)):
        settings = ServiceSettings(data_dir=tmp_path, **({"forwarded_allow_ips": named} if named else {}))
        with background(create_app(settings, database=sqlite)) as url, httpx.Client(base_url=url) as client:
            assert ('href="/tunnel/fleet"' in client.get("/", headers=headers).text) is believed, named
            assert ('href="/fleet"' in client.get("/", headers=headers).text) is not believed
            # Nor may somebody else break a page with what is no path.
            assert client.get("/", headers={"x-forwarded-prefix": "//evil"}).status_code == (400 if believed else 200)


def test_what_is_no_network_of_proxies_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="WINDTUNNEL_FORWARDED_ALLOW_IPS"):
        read(ServiceSettings, forwarded_allow_ips="proxy.example", data_dir=tmp_path)


@pytest.fixture
def keyed(sqlite: Database) -> str:
    """The key of a server whose first key was just made."""
    with sqlite.transaction() as session:
        return keys.create(session, "first", owner="local", operator=1).key


@pytest.fixture
def behind(client: httpx.Client, nginx) -> Iterator[httpx.Client]:
    """A client of an nginx before the server."""
    with httpx.Client(base_url=nginx(str(client.base_url).rstrip("/")), timeout=10) as proxied:
        yield proxied


def test_every_link_leads_somewhere_behind_a_real_proxy(behind, client, work):
    job_id = work.succeeded(name="first flight", target={"width": 512})
    client.post(f"/v1/jobs/{job_id}/plans", json={"width": 256})
    once: set[str] = set()

    def fetched(path: str) -> bool:
        """Each page once under the first way, and under the others all but the thousand examples of one kind."""
        kind = re.sub(r"_[0-9a-z]{26}", "_", path.partition("?")[0])
        fresh = kind not in once or path.startswith("/tunnel/")
        once.add(kind)
        return fresh

    for prefix in WAYS:
        seen = crawl(behind, prefix, fetched=fetched)
        for kind in (
            "/jobs/job_",
            "/plans/plan_",
            "/figures/loss.json",
            "/static/live.js",
            "/v1/jobs/job_",
            "/openapi.json",
        ):
            assert any(kind in path.removeprefix(prefix) for path in seen), (prefix, kind)


@pytest.mark.parametrize("prefix", WAYS)
def test_forms_redirects_and_the_api_follow_behind_a_real_proxy(behind, work, prefix):
    form = {"spec": '{"task": "digits", "name": "by form"}', "do": "start"}
    made = behind.post(f"{prefix}/jobs", data=form, headers={"sec-fetch-site": "same-origin"})
    assert made.status_code == 303 and re.fullmatch(rf"{prefix}/jobs/job_\w+", made.headers["location"])
    page = behind.get(made.headers["location"])
    assert page.status_code == 200 and "by form" in page.text
    job_id = made.headers["location"].rpartition("/")[2]
    for action in ("pause", "resume", "cancel"):
        sent = behind.post(
            f"{prefix}/jobs/{job_id}/{action}", headers={"content-type": "application/x-www-form-urlencoded"}
        )
        assert (sent.status_code, sent.headers["location"]) == (303, f"{prefix}/jobs/{job_id}")
    api = behind.post(f"{prefix}/v1/jobs", json={"task": "digits"})
    assert api.status_code == 201 and behind.get(api.headers["location"]).json()["id"] == api.json()["id"]
    slashed = behind.get(f"{prefix}/jobs/{job_id}/", follow_redirects=False)
    assert (slashed.status_code, slashed.headers["location"]) == (307, f"{prefix}/jobs/{job_id}")
    assert behind.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": prefix}]
    with Client(f"{str(behind.base_url).rstrip('/')}{prefix}") as windtunnel:
        assert windtunnel.jobs.get(job_id).state == "cancelled"


def test_the_document_of_one_proxy_is_not_kept_for_the_next(client):
    assert client.get("/openapi.json", headers={"x-forwarded-prefix": "/a"}).json()["servers"] == [{"url": "/a"}]
    assert "servers" not in client.get("/openapi.json").json()


def test_a_proxy_that_says_nothing_needs_the_setting(sqlite, work, tmp_path, nginx):
    settings = ServiceSettings(data_dir=tmp_path, root_path="/set/")
    job_id = work.succeeded()
    with background(create_app(settings, database=sqlite)) as url, httpx.Client(base_url=nginx(url)) as behind:
        crawl(behind, "/set", fetched=lambda path: "/figures/" not in path)
        # It goes before what a proxy says; and the server's own address still leads to its pages.
        with httpx.Client(base_url=url) as direct:
            answer = direct.get(f"/jobs/{job_id}", headers={"x-forwarded-prefix": "/other"})
            assert 'href="/set/fleet"' in answer.text and "/other" not in answer.text
            assert direct.get("/set/fleet").status_code == direct.get("/set").status_code == 200
            assert direct.get("/settings").status_code == 404


@pytest.mark.parametrize("prefix", WAYS)
def test_signing_in_over_tls_with_a_cookie_for_this_path_only(client, keyed, nginx, certificate: Path, prefix):
    context = ssl.create_default_context(cafile=certificate / "certificate.pem")
    with httpx.Client(base_url=nginx(str(client.base_url).rstrip("/"), tls=True), verify=context) as behind:
        asked = behind.get(f"{prefix}/fleet", headers={"accept": "text/html"})
        assert asked.status_code == 401 and f'action="{prefix}/sign-in"' in asked.text
        back = re.search(r'name="next" value="([^"]*)"', asked.text)
        assert back is not None
        # What a browser says of a form of this page. Behind /bare the server hears another Host than the browser's.
        own = {"origin": str(behind.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
        signed = behind.post(f"{prefix}/sign-in", data={"key": keyed, "next": back[1]}, headers=own)
        assert (signed.status_code, signed.headers["location"]) == (303, f"{prefix}/fleet")
        cookie = signed.headers["set-cookie"]
        secure = "; secure" in cookie.lower()
        assert f"Path={prefix};" in f"{cookie};" and "HttpOnly" in cookie and secure is (prefix != "/jobs")
        assert behind.get(f"{prefix}/fleet").status_code == 200
        other = next(way for way in WAYS if way != prefix)
        assert behind.get(f"{other}/fleet").status_code == 401
        foreign = own | {"sec-fetch-site": "cross-site"}
        assert behind.post(f"{prefix}/sign-out", data={"a": "b"}, headers=foreign).status_code == 403
        out = behind.post(f"{prefix}/sign-out", headers=own)
        assert (out.status_code, out.headers["location"]) == (303, f"{prefix}/sign-in")
        assert COOKIE not in behind.cookies and behind.get(f"{prefix}/fleet").status_code == 401


def test_the_cookie_of_another_server_at_the_root_of_the_host_is_not_taken_for_ours(client, keyed):
    session = client.post("/sign-in", data={"key": keyed}).cookies[COOKIE]
    client.cookies.clear()
    # RFC 6265, 5.4: cookies with longer paths are listed first.
    sent = {"cookie": f"{COOKIE}={session}; theme=dark; {COOKIE}=ws_of-another-server", "x-forwarded-prefix": "/tunnel"}
    assert client.get("/fleet", headers=sent).status_code == 200
    assert "You are signed in" in client.get("/sign-in", headers=sent).text
    assert client.get("/fleet", headers={"cookie": f"x{COOKIE}={session}"}).status_code == 401


@pytest.mark.parametrize("given", ["//evil.example", "https://evil.example/", "/\\evil.example", "/a\r\nx: y", "evil"])
def test_signing_in_leads_to_no_other_site_under_a_prefix(client, keyed, given):
    headers = {"x-forwarded-prefix": "/tunnel"}
    signed = client.post("/sign-in", data={"key": keyed, "next": given}, headers=headers)
    assert signed.headers["location"] == "/tunnel/"
    assert urlsplit(urljoin("https://tunnel.example/tunnel/sign-in", signed.headers["location"])).netloc == "tunnel.example"


def test_a_browsers_own_word_on_where_a_form_comes_from_goes_before_host(client):
    """Behind a proxy Host may be the server's own name; without the browser's word the two must be the same."""
    away = {"origin": "https://tunnel.example"}
    for site, status in (("same-origin", 201), ("cross-site", 403), ("same-site", 403), (None, 403)):
        headers = away if site is None else away | {"sec-fetch-site": site}
        assert client.post("/v1/jobs", json={"task": "digits"}, headers=headers).status_code == status
    for origin in ("http://[", "http://[::1", "null"):
        assert client.post("/v1/jobs", json={"task": "digits"}, headers={"origin": origin}).status_code == 403
