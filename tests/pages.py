"""Open each page of the built documentation in a browser: ``python -m tests.pages FOLDER``.

Looks at each page as a reader with a telephone and one with a screen has it: nothing may be cut
off, nothing may come from elsewhere, the browser may have nothing to complain of, every picture has
a text, every link within the pages leads to something, and the search finds what people look for.
Exits with status 1 otherwise.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

WIDTHS = (390, 1440)
# Of a page on the wide screen: more than some 13 screens are not read to their end.
MAX_HEIGHT = 12_000

# What the browser shows of an element ends where its box ends: the rest has to be scrolled to.
CUT_OFF = """() => {
    const root = document.documentElement;
    const kinds = ["pre", "table", "img", "svg"].map(kind => "article " + kind);
    const wide = [...document.querySelectorAll(kinds.join())];
    const cut = wide.filter(element => {
        const box = element.closest(".table-wrapper") || element;
        return element.scrollWidth > box.clientWidth + 1 && box.clientWidth > 0;
    });
    const shown = cut.map(element => element.innerText.trim().split("\\n")[0].slice(0, 50));
    if (root.scrollWidth > root.clientWidth) shown.push("(the page as a whole)");
    return shown;
}"""
WITHOUT_TEXT = """() => [...document.querySelectorAll("article img, svg.drawing")]
    .filter(element => !(element.getAttribute("alt") || element.querySelector("title")))
    .map(element => element.getAttribute("src") || "a drawing")"""
HEIGHT = "() => document.documentElement.scrollHeight"
LINKS = '() => [...document.querySelectorAll("a[href]")].map(link => link.href)'
ANCHORS = '() => [...document.querySelectorAll("[id]")].map(element => element.id)'

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# It is the page of the manual, too, which has everything in one.
LONG = ("command.html",)
# What people look for, as they write it.
SOUGHT = (
    "docker kubernetes wsl wifi wlan vlan vpn wireguard firewall systemd sacn artnet mdns ssdp rtp "
    "ptp mpeg prometheus asyncio anyio ExitStack rp_filter querier snooping timeout smcroute frr "
    "loopback EADDRINUSE EADDRNOTAVAIL ENODEV ENETUNREACH EMFILE ENOBUFS"
)
# What a message says, or a question is about, and the page that has to come first.
FIRST = {
    "address already in use": "howto/errors.html",
    "cannot assign requested address": "howto/errors.html",
    "no such device": "howto/errors.html",
    "network is unreachable": "howto/errors.html",
    "too many open files": "howto/errors.html",
    "10049": "howto/errors.html",
    "Windows error 10065": "howto/errors.html",
    "ttl 1": "tutorial.html",
    "IGMP querier": "howto/nothing-arrives.html",
    "firewall": "howto/nothing-arrives.html",
    "rp_filter": "howto/nothing-arrives.html",
    "ExitStack": "howto/keep-open.html",
    "timeout": "tutorial.html",
}
FOUND = "#search-results li a"
DONE = '/found|did not match/i.test(document.querySelector("#search-results p")?.innerText)'

# What the button beside a block copies is kept, since a browser without a screen has no clipboard.
KEEP_COPIES = """window.copies = [];
document.execCommand = () => window.copies.push(document.querySelector("textarea")?.value);"""
# A command that goes on in a second line.
CONTINUED = ("howto/streams.html", '-c:a pcm_mulaw \\\n    -f rtp "rtp://')

# Pages that are made for machines, or hold the text of other pages.
UNREAD = ("genindex.html", "search.html", "py-modindex.html")


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing: the browser tells what it does not get."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *args: object) -> None:
        """Say nothing: the browser has gone to the next page before this one was sent."""


def find_faults(folder: Path, site: str, browser: Browser) -> Iterator[str]:
    """Yield a sentence for all that is wrong with the pages in a folder, served at a site."""
    paths = sorted(folder.rglob("*.html"))
    links: dict[Path, list[str]] = {}
    anchors: dict[Path, set[str]] = {}
    for width in WIDTHS:
        page = browser.new_page(viewport={"width": width, "height": 900})
        complaints = _listen(page, site)
        for path in paths:
            name = f"{path.relative_to(folder)} at {width} px"
            page.goto(f"{site}{path.relative_to(folder)}")
            links[path], anchors[path] = page.evaluate(LINKS), set(page.evaluate(ANCHORS))
            yield from (f"{name}: {complaint}" for complaint in complaints)
            complaints.clear()
            if path.name in UNREAD:
                continue
            yield from (f"{name}: cut off: {text}" for text in page.evaluate(CUT_OFF))
            yield from (f"{name}: no text: {image}" for image in page.evaluate(WITHOUT_TEXT))
            if path.name in LONG or width != max(WIDTHS):
                continue
            if (height := page.evaluate(HEIGHT)) > MAX_HEIGHT:
                yield f"{name}: {height} px long, more than {MAX_HEIGHT}"
        page.close()
    yield from _find_unfound(site, browser)
    yield from _find_half_copied(site, browser)
    yield from _find_dead_links(folder, site, links, anchors)


def _find_unfound(site: str, browser: Browser) -> Iterator[str]:
    page = browser.new_page()
    for words in (*SOUGHT.split(), *FIRST):
        page.goto(f"{site}search.html?q={quote(words)}")
        # It says so when it has searched all.
        page.wait_for_function(f"() => {DONE}")
        link = page.query_selector(FOUND)
        if link is None:
            yield f"the search finds nothing for {words!r}"
            continue
        address = urldefrag(urljoin(page.url, link.get_attribute("href"))).url.partition("?")[0]
        if words in FIRST and address != site + FIRST[words]:
            yield f"the search for {words!r} has first {address.removeprefix(site)}"
    page.close()


def _find_half_copied(site: str, browser: Browser) -> Iterator[str]:
    page = browser.new_page()
    page.add_init_script(KEEP_COPIES)
    name, whole = CONTINUED
    page.goto(f"{site}{name}")
    page.wait_for_selector("div.highlight-console button.copybtn", state="attached")
    for button in page.query_selector_all("div.highlight-console button.copybtn"):
        button.evaluate("button => button.click()")
    if not any(whole in str(copy) for copy in page.evaluate("() => window.copies")):
        yield f"{name}: the button copies a command in part"
    page.close()


def _listen(page: Page, site: str) -> list[str]:
    """Return a list that what the browser complains of is added to."""
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"the browser says: {message.text}")

    def look(request: Request) -> None:
        if not request.url.startswith((site, "data:")):
            complaints.append(f"comes from elsewhere: {request.url}")

    def fail(request: Request) -> None:
        # What the browser no longer wants since the next page is opened is no fault.
        if request.failure != "net::ERR_ABORTED":
            complaints.append(f"not there: {request.url}: {request.failure}")

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(f"a script failed: {error}"))
    page.on("requestfailed", fail)
    page.on("request", look)
    return complaints


def _find_dead_links(
    folder: Path, site: str, links: dict[Path, list[str]], anchors: dict[Path, set[str]]
) -> Iterator[str]:
    for path, urls in links.items():
        for url in dict.fromkeys(urls):
            if not url.startswith(site):
                continue
            address, anchor = urldefrag(url)
            target = folder / (unquote(urlsplit(address).path).lstrip("/") or "index.html")
            name = path.relative_to(folder)
            if not target.is_file():
                yield f"{name}: leads to nothing: {url}"
            elif anchor and target in anchors and unquote(anchor) not in anchors[target]:
                yield f"{name}: no such place in {target.name}: #{anchor}"


def main() -> int:
    """Print what is wrong with the pages in the folder that is named; return the exit status."""
    folder = Path(sys.argv[1]).resolve()
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        print(f"The pages were NOT looked at: none of {', '.join(BROWSERS)} is installed.")
        return 1 if "TRIO_MCAST_REQUIRE_LAB" in os.environ else 0
    server = _Server(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    with server, sync_playwright() as playwright:
        # Its sandbox needs privileges that containers lack; the pages are our own.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        site = f"http://127.0.0.1:{server.server_port}/"
        faults = list(find_faults(folder, site, browser))
        browser.close()
        server.shutdown()
    print(*faults, sep="\n")
    print(f"{len(faults)} faults found in the pages of {folder.name}, at {WIDTHS} px")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
