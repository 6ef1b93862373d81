"""Sources that change, break, vanish and come back: never worse than the last good declaration."""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aggregator.catalog import sources
from aggregator.catalog.watching import URL_INTERVAL_SECONDS, Catalog
from tests.builders import component


def refs(catalog: Catalog) -> list[str]:
    return sorted(ref.partition("/")[2] for ref in catalog.declarations.entities)


def sentences(catalog: Catalog) -> list[str]:
    return [f"{problem.place}: {problem.sentence}" for problem in catalog.declarations.problems]


def watched(*paths: Path) -> Catalog:
    catalog = Catalog([str(path) for path in paths])
    catalog.refresh()
    return catalog


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(component("web") + component("cart"))
    return path


def test_without_a_source_nothing_is_declared() -> None:
    catalog = watched()
    assert (catalog.declarations.configured, refs(catalog)) == (False, [])


def test_a_file_and_its_changes(file: Path) -> None:
    catalog = watched(file)
    assert (catalog.declarations.configured, refs(catalog)) == (True, ["cart", "web"])
    before = catalog.declarations
    assert not catalog.refresh().changed
    assert catalog.declarations is before
    file.write_text(component("orders"))
    assert catalog.refresh().changed
    assert refs(catalog) == ["orders"]


def test_a_directory_with_everything_in_it(tmp_path: Path, file: Path) -> None:
    for name, text in {
        "deep/er/a.yml": component("a"),
        ".hidden/b.yaml": component("b"),
        "node_modules/c.yaml": component("c"),
        "d.txt": component("d"),
        "deployment.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    catalog = watched(tmp_path)
    assert (refs(catalog), sentences(catalog)) == (["a", "cart", "web"], [])
    (tmp_path / "deep/er/e.yaml").write_text(component("e"))
    file.unlink()
    catalog.refresh()
    assert refs(catalog) == ["a", "e"]


def test_two_ways_to_one_file_are_one(tmp_path: Path, file: Path) -> None:
    (tmp_path / "link.yaml").symlink_to(file)
    catalog = watched(tmp_path, file)
    assert (refs(catalog), sentences(catalog)) == (["cart", "web"], [])


def test_one_entity_in_two_files_is_named_at_the_second(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "z.yaml"
    other.write_text(f"\n{component('web', owner='other')}")
    catalog = watched(tmp_path)
    sentence = f"component:default/web is already declared at {file}:2; keep one of them."
    assert sentences(catalog) == [f"{other}:3: {sentence}"]
    assert catalog.declarations.entities["component:default/web"].owner == "team-a"


class TestBroken:
    def test_a_broken_file_keeps_its_last_declaration_and_is_named(self, file: Path) -> None:
        catalog = watched(file)
        file.write_text(component("web") + "---\nkind: [\n")
        refreshed = catalog.refresh()
        assert refs(catalog) == ["cart", "web"]
        assert [str(problem.place) for problem in refreshed.appeared] == [f"{file}:5"]
        file.write_text(component("web"))
        assert [str(problem.place) for problem in catalog.refresh().solved] == [f"{file}:5"]
        assert (refs(catalog), sentences(catalog)) == (["web"], [])

    def test_a_problem_is_told_once(self, file: Path) -> None:
        catalog = watched(file)
        file.write_text("a: b: c")
        assert len(catalog.refresh().appeared) == 1
        os.utime(file, (1, 1))
        assert catalog.refresh().appeared == ()

    def test_a_broken_entity_keeps_its_own_last_declaration(self, file: Path) -> None:
        catalog = watched(file)
        file.write_text(component("cart", owner="new").replace('"spec": {', '"spec": [{').replace("}}\n", "}]}\n"))
        catalog.refresh()
        assert catalog.declarations.entities["component:default/cart"].owner == "team-a"
        assert sentences(catalog)[0].endswith("component:default/cart has no spec; give it one with type and owner.")

    def test_what_is_broken_from_the_start_gives_what_can_be_read(self, file: Path) -> None:
        file.write_text(component("web") + "---\nkind: [\n")
        assert refs(watched(file)) == ["web"]

    def test_text_that_is_not_utf_8_keeps_the_last_one(self, file: Path) -> None:
        catalog = watched(file)
        file.write_bytes(b"a: b\nc: \xff\n")
        catalog.refresh()
        assert refs(catalog) == ["cart", "web"]
        assert sentences(catalog) == [f"{file}: {file} is not UTF-8 in line 2; save it as UTF-8."]

    def test_an_oversized_file_keeps_the_last_one(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        catalog = watched(file)
        monkeypatch.setattr(sources, "MAX_FILE_BYTES", 2**20)
        file.write_text(f"# {'x' * 2**20}\n")
        catalog.refresh()
        assert refs(catalog) == ["cart", "web"]
        assert sentences(catalog) == [f"{file}: {file} is larger than 1 MiB; split it."]

    def test_a_directory_of_too_many_files_keeps_the_last_ones(
        self, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        catalog = watched(tmp_path)
        monkeypatch.setattr(sources, "MAX_FILES", 3)
        for number in range(4):
            (tmp_path / f"{number}.yaml").write_text(component(f"n{number}"))
        catalog.refresh()
        assert refs(catalog) == ["cart", "web"]
        assert "holds more than 3 YAML files" in sentences(catalog)[0]

    def test_a_file_that_vanished_keeps_its_last_declaration(self, file: Path) -> None:
        catalog = watched(file)
        file.unlink()
        catalog.refresh()
        assert refs(catalog) == ["cart", "web"]
        assert sentences(catalog) == [f"{file}: {file} is not there or cannot be looked at; correct --catalog."]
        file.write_text(component("web"))
        catalog.refresh()
        assert (refs(catalog), sentences(catalog)) == (["web"], [])

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.yaml")
        assert sentences(watched(tmp_path / "pipe.yaml"))[0].endswith("correct --catalog.")
        assert refs(watched(tmp_path)) == []

    @pytest.mark.parametrize("text", ["", "kind: Location\napiVersion: backstage.io/v1alpha1\nmetadata: {name: all}\n"])
    def test_a_named_file_that_declares_nothing_is_told(self, file: Path, text: str) -> None:
        file.write_text(text)
        assert "holds no Component, Resource or API of backstage.io" in sentences(watched(file))[0]


@dataclass
class Portal:
    """A web server with one document, which may be away."""

    text: str
    status: int = 200
    etag: str = '"1"'
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def portal() -> Iterator[Portal]:
    served = Portal(component("web"))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("If-None-Match")
            served.asked.append(known)
            status = 304 if served.status == 200 and known == served.etag else served.status
            self.send_response(status)
            self.send_header("ETag", served.etag)
            self.end_headers()
            if status == 200:
                self.wfile.write(served.text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_port}/catalog.yaml"
    yield served
    server.shutdown()
    server.server_close()


class TestUrl:
    def test_it_is_asked_once_a_while_and_only_for_news(self, portal: Portal) -> None:
        now = [0.0]
        catalog = Catalog([portal.url], lambda: now[0])
        catalog.refresh()
        catalog.refresh()
        assert (refs(catalog), portal.asked) == (["web"], [None])
        now[0] += URL_INTERVAL_SECONDS
        assert not catalog.refresh().changed
        assert portal.asked == [None, '"1"']
        portal.text, portal.etag = component("cart"), '"2"'
        now[0] += URL_INTERVAL_SECONDS
        assert catalog.refresh().changed
        assert refs(catalog) == ["cart"]

    def test_one_that_fails_keeps_its_last_declaration(self, portal: Portal) -> None:
        now = [0.0]
        catalog = Catalog([portal.url], lambda: now[0])
        catalog.refresh()
        portal.status = 500
        now[0] += URL_INTERVAL_SECONDS
        catalog.refresh()
        assert refs(catalog) == ["web"]
        assert sentences(catalog) == [f"{portal.url}: {portal.url} answered 500; check the address given to --catalog."]
        portal.status = 200
        now[0] += URL_INTERVAL_SECONDS
        catalog.refresh()
        assert (refs(catalog), sentences(catalog)) == (["web"], [])

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1/x.yaml", "http://[::1/x", "https://127.0.0.1:1/"])
    def test_one_that_cannot_be_reached_is_named(self, url: str) -> None:
        catalog = Catalog([url])
        catalog.refresh()
        assert sentences(catalog)[0].startswith(f"{url}: {url} cannot be fetched: ")
