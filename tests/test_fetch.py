"""Public data from servers that cut, change, lie and refuse; each stands on this machine, in a thread."""

import hashlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from gzip import compress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llama_gene.config import DataFileSettings
from llama_gene.errors import LlamaGeneError
from llama_gene.fetch import Wanted, bring, connection, load_catalogue, make_plan, wanted_of_recipe, wanted_of_sets
from llama_gene.fetch.catalogue import fill
from llama_gene.fetch.folder import DataFolder

DATA = bytes(range(256)) * 4000  # four blocks of the transfer
CHANGED = DATA[::-1]
ROOT = Path(__file__).parents[1]


@dataclass
class Served:
    """A file of the server, and how it behaves with it."""

    data: bytes = DATA
    etag: str | None = '"one"'
    cuts: list[int] = field(default_factory=list)  # bytes after which each answer breaks off
    ranges: bool = True
    if_range: bool = True  # whether it looks at the version that a range is asked of
    status: int = 200
    head: bool = True
    slow: float = 0.0  # seconds between two blocks
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Server:
    """The server: what it has, and what it was asked."""

    address: str
    files: dict[str, Served] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)

    @property
    def gets(self) -> list[str | None]:
        """The ranges of the transfers so far."""
        return [wanted for method, _, wanted in self.asked if method == "GET"]


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            wanted = self.headers.get("Range")
            server.asked.append((self.command, self.path, wanted))
            served = server.files.get(self.path.partition("?")[0], Served(b"nothing here", status=404))
            start, status = 0, served.status if body or served.head else 405
            same = not served.if_range or self.headers.get("If-Range", served.etag) == served.etag
            if wanted and served.ranges and same:
                start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            data = served.data[start:]
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(served.data) - 1}/{len(served.data)}")
            for name, value in {"ETag": served.etag, **served.headers}.items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            if body:
                self._send(data, served)

        def _send(self, data: bytes, served: Served) -> None:
            end = served.cuts.pop(0) if served.cuts else len(data)
            for place in range(0, end, 1 << 16):
                self.wfile.write(data[place : min(place + (1 << 16), end)])
                time.sleep(served.slow)
            self.close_connection = end < len(data)

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(connection, "_WAIT_S", 0.0)
    found = Server("")
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(found)) as http:
        http.daemon_threads = True
        found.address = f"http://127.0.0.1:{http.server_port}"
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield found
        http.shutdown()


def fetch(server: Server, root: Path, name: str = "/a.fa", path: str = "corpus/a.fa", **more: Any) -> list[str]:
    """Fetch one file; what was said."""
    said: list[str] = []
    bring(make_plan([Wanted(server.address + name, path, **more)], root), said.append)
    return said


def left_in(root: Path) -> list[str]:
    """The names of all files below `root`."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_file_is_fetched_recorded_and_verified_the_second_time(server: Server, tmp_path: Path) -> None:
    server.files["/a.fa"] = Served()
    assert fetch(server, tmp_path, licence="CC0") == ["corpus/a.fa: 1,024,000 bytes"]
    record = json.loads((tmp_path / "fetched.json").read_text())["corpus/a.fa"]
    assert record.pop("date").startswith("20")
    assert record == {
        "origin": f"{server.address}/a.fa",
        "version": '"one"',
        "size": len(DATA),
        "sha256": hashlib.sha256(DATA).hexdigest(),
        "checked": "size",
        "licence": "CC0",
    }
    server.asked.clear()
    assert fetch(server, tmp_path) == []
    assert server.asked == []  # it takes no network
    assert left_in(tmp_path) == ["corpus/a.fa", "fetched.json"]
    assert not (tmp_path / "corpus" / ".fetch").exists()


def test_a_cut_transfer_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.files["/a.fa"] = Served(cuts=[300_000, 100_000])
    fetch(server, tmp_path)
    assert server.gets == [None, "bytes=300000-", "bytes=400000-"]
    assert (tmp_path / "corpus/a.fa").read_bytes() == DATA


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(st.integers(0, len(DATA)), max_size=4), st.booleans(), st.sampled_from(['"one"', None, 'W/"one"']))
def test_however_often_it_is_cut_the_bytes_are_the_same(
    server: Server, tmp_path_factory: pytest.TempPathFactory, cuts: list[int], ranges: bool, etag: str | None
) -> None:
    root = tmp_path_factory.mktemp("root")
    server.files["/a.fa"] = Served(etag=etag, ranges=ranges, cuts=list(cuts))
    fetch(server, root)
    assert (root / "corpus/a.fa").read_bytes() == DATA


@pytest.mark.parametrize("etag", ['"two"', None, 'W/"weak"'])
@pytest.mark.parametrize("if_range", [True, False])
def test_a_file_that_changed_since_is_fetched_from_its_start(
    server: Server, tmp_path: Path, etag: str | None, if_range: bool
) -> None:
    server.files["/a.fa"] = Served(cuts=[300_000, *[0] * 4])
    with pytest.raises(LlamaGeneError, match=r"cannot reach 127.0.0.1 \(cut after 300,000 of 1,024,000 bytes\)"):
        fetch(server, tmp_path)
    assert left_in(tmp_path) == ["corpus/.fetch/a.fa.part", "corpus/.fetch/a.fa.state"]
    server.files["/a.fa"] = Served(CHANGED, etag, if_range=if_range)
    server.asked.clear()
    fetch(server, tmp_path)
    assert (tmp_path / "corpus/a.fa").read_bytes() == CHANGED
    assert server.gets == (["bytes=300000-"] if if_range else ["bytes=300000-", None])


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_a_file_without_a_version_is_never_patched_together(server: Server, tmp_path: Path, etag: str | None) -> None:
    server.files["/a.fa"] = Served(etag=etag, cuts=[300_000])
    fetch(server, tmp_path)
    assert server.gets == [None, None]
    assert (tmp_path / "corpus/a.fa").read_bytes() == DATA


def test_a_server_that_cannot_resume_is_asked_for_everything(server: Server, tmp_path: Path) -> None:
    server.files["/a.fa"] = Served(ranges=False, cuts=[300_000], head=False)
    fetch(server, tmp_path)
    assert server.gets == [None, "bytes=300000-"]
    assert (tmp_path / "corpus/a.fa").read_bytes() == DATA


def test_a_server_that_never_gets_further_is_given_up(server: Server, tmp_path: Path) -> None:
    server.files["/a.fa"] = Served(ranges=False, cuts=[9] * 99)
    with pytest.raises(LlamaGeneError, match="cut after 9 of"):
        fetch(server, tmp_path)
    assert len(server.gets) == 5


def test_a_server_that_is_busy_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.files["/a.fa"] = Served(status=503)
    threading.Timer(0.05, lambda: server.files.update({"/a.fa": Served()})).start()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(connection, "_WAIT_S", 0.05)
        fetch(server, tmp_path)
    assert (tmp_path / "corpus/a.fa").read_bytes() == DATA


@pytest.mark.parametrize(
    ("status", "says"),
    [(404, "there is no such file any more"), (403, "it wants an account or an agreement"), (418, "answers 418")],
)
def test_a_server_that_refuses_is_not_asked_again(server: Server, tmp_path: Path, status: int, says: str) -> None:
    server.files["/a.fa"] = Served(status=status)
    with pytest.raises(LlamaGeneError, match=says) as refused:
        fetch(server, tmp_path)
    assert str(tmp_path / "corpus/a.fa") in str(refused.value)
    assert len(server.asked) == 1
    assert left_in(tmp_path) == []


def test_redirects_are_followed_but_not_away_from_https(server: Server, tmp_path: Path) -> None:
    server.files["/a.fa"] = Served(status=302, headers={"Location": f"{server.address}/there.fa"})
    server.files["/there.fa"] = Served()
    fetch(server, tmp_path)
    assert (tmp_path / "corpus/a.fa").read_bytes() == DATA
    server.files["/b.fa"] = Served(status=302, headers={"Location": "http://example.org/b.fa"})
    with pytest.raises(LlamaGeneError, match=r"http://example\.org/b\.fa: not an https address"):
        fetch(server, tmp_path, "/b.fa", "b.fa")
    with pytest.raises(LlamaGeneError, match="not an https address"):
        make_plan([Wanted("http://example.org/c.fa", "c.fa")], tmp_path)


def test_no_network_names_the_host_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(LlamaGeneError, match=r"cannot reach no-such-host\.invalid") as offline:
        make_plan([Wanted("https://no-such-host.invalid/a.fa", "corpus/a.fa")], tmp_path)
    assert offline.value.hint == (
        f"run it again where there is a network, or bring it by hand: put https://no-such-host.invalid/a.fa at "
        f"{tmp_path / 'corpus/a.fa'}"
    )


@pytest.mark.parametrize(
    "listed", ["{md5}  ./a.fa\n", "{sha256} *a.fa\n", '<file name="a.fa">\n<hash type="md5">{md5}</hash></file>']
)
def test_the_servers_own_checksum_is_held_against_what_came(server: Server, tmp_path: Path, listed: str) -> None:
    sums = {"md5": hashlib.md5(DATA).hexdigest(), "sha256": hashlib.sha256(DATA).hexdigest()}
    server.files["/a.fa"] = Served(CHANGED)
    server.files["/sums"] = Served(listed.format(**sums).encode())
    with pytest.raises(LlamaGeneError, match="and has to be") as wrong:
        fetch(server, tmp_path, checksums=f"{server.address}/sums")
    assert left_in(tmp_path) == ["corpus/.fetch/a.fa.bad"]
    assert "a.fa.bad; the same command fetches it anew" in str(wrong.value)
    server.files["/a.fa"] = Served()
    fetch(server, tmp_path, checksums=f"{server.address}/sums")
    record = DataFolder(tmp_path).record_of("corpus/a.fa")
    assert record is not None
    assert record["checked"] in sums


def test_what_the_server_packed_is_unpacked_unless_the_file_is_packed_itself(server: Server, tmp_path: Path) -> None:
    server.files["/a.csv"] = Served(compress(DATA), cuts=[900], headers={"Content-Encoding": "gzip"})
    fetch(server, tmp_path, "/a.csv", "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == DATA
    packed = compress(DATA)
    server.files["/a.fa.gz"] = Served(packed, headers={"Content-Encoding": "gzip"})
    fetch(server, tmp_path, "/a.fa.gz", "a.fa.gz")
    assert (tmp_path / "a.fa.gz").read_bytes() == packed


@pytest.mark.parametrize("data", [b"<!DOCTYPE html><p>Log in", b"ACGT", compress(DATA)[:-9]])
def test_a_page_in_the_place_of_a_file_and_a_damaged_file_are_seen(server: Server, tmp_path: Path, data: bytes) -> None:
    server.files["/a.fa.gz"] = Served(data)
    with pytest.raises(LlamaGeneError, match=r"not a \.gz file|truncated"):
        fetch(server, tmp_path, "/a.fa.gz", "a.fa.gz")
    assert left_in(tmp_path) == [".fetch/a.fa.gz.bad"]


def test_a_full_disk_says_so_and_what_came_is_kept(server: Server, tmp_path: Path) -> None:
    server.files["/a.fa"] = Served()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    try:
        with pytest.raises(LlamaGeneError, match="no space left to write") as full:
            fetch(server, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "what has come is kept" in str(full.value)
    assert (tmp_path / "corpus/.fetch/a.fa.part").stat().st_size == 400_000
    fetch(server, tmp_path)
    assert server.gets == [None, "bytes=400000-"]
    assert (tmp_path / "corpus/a.fa").read_bytes() == DATA


def test_more_than_is_free_is_not_begun(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["/a.fa"] = Served()
    plan = make_plan([Wanted(f"{server.address}/a.fa", "a.fa")], tmp_path / "not" / "there" / "yet")
    plan.check_space()
    assert plan.size == len(DATA)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(LlamaGeneError, match="1,024,000 bytes have to come, and 1,000 are free"):
        plan.check_space()


def test_a_file_in_the_way_is_never_replaced(server: Server, tmp_path: Path) -> None:
    server.files["/a.fa"] = Served()
    mine = tmp_path / "corpus" / "a.fa"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    with pytest.raises(LlamaGeneError, match="4 bytes instead of 1,024,000"):
        fetch(server, tmp_path)
    mine.write_bytes(DATA)  # brought by hand
    assert fetch(server, tmp_path) == []
    mine.write_bytes(CHANGED)
    with pytest.raises(LlamaGeneError, match="it has changed"):
        fetch(server, tmp_path)
    assert mine.read_bytes() == CHANGED
    assert server.gets == []


def test_what_was_brought_by_hand_is_taken_where_nobody_can_be_asked(server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.fa").write_bytes(DATA)
    for path, origin in [("corpus/a.fa", f"{server.address}/no.fa"), ("corpus/a.fa", "https://no-such-host.invalid/a")]:
        plan = make_plan([Wanted(origin, path)], tmp_path)
        record = DataFolder(tmp_path).record_of(path)
        assert record is not None
        assert (plan.here, plan.files, record["checked"]) == ((path,), (), "nothing")
        (tmp_path / "fetched.json").unlink()


def test_two_at_once_do_not_mix_their_bytes(server: Server, tmp_path: Path) -> None:
    server.files["/a.fa"] = Served(slow=0.05)
    first = threading.Thread(target=fetch, args=(server, tmp_path))
    first.start()
    while not (tmp_path / "corpus/.fetch/a.fa.part").exists():
        time.sleep(0.005)
    with pytest.raises(LlamaGeneError, match="another process is fetching this file"):
        fetch(server, tmp_path)
    first.join()
    assert (tmp_path / "corpus/a.fa").read_bytes() == DATA


@pytest.mark.parametrize("path", ["../a.fa", "/etc/a.fa", "corpus/../../a.fa", "corpus\\a.fa", ""])
def test_nothing_is_written_outside_of_the_data_root(tmp_path: Path, path: str) -> None:
    with pytest.raises(LlamaGeneError, match="not a place in the data root"):
        make_plan([Wanted("http://127.0.0.1:9/a.fa", path)], tmp_path)


def _zip(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        link = zipfile.ZipInfo("link.csv")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return packed.getvalue()


def _tar(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("link.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return packed.getvalue()


@pytest.mark.parametrize("make", [_zip, _tar])
def test_files_out_of_one_archive_come_with_one_transfer(server: Server, tmp_path: Path, make: Any) -> None:
    server.files["/data.pack"] = Served(make(**{"in/a.csv": b"a", "../evil.csv": b"evil"}))
    wanted = [Wanted(f"{server.address}/data.pack#{name}", f"tasks/{at}") for name, at in
              [("in/a.csv", "a.csv"), ("../evil.csv", "b.csv")]]  # fmt: skip
    plan = make_plan(wanted, tmp_path / "root")
    assert plan.size == len(server.files["/data.pack"].data)
    bring(plan, lambda _: None)
    assert left_in(tmp_path) == ["root/fetched.json", "root/tasks/a.csv", "root/tasks/b.csv"]
    assert (tmp_path / "root/tasks/b.csv").read_bytes() == b"evil"  # where we say, not where its name leads
    assert len(server.gets) == 1


@pytest.mark.parametrize("make", [_zip, _tar])
@pytest.mark.parametrize(
    ("member", "says"),
    [("no.csv", "no 'no.csv' in the archive"), ("link.csv", "a folder or a link"), ("bomb", "beyond all measure")],
)
def test_links_and_bombs_are_not_unpacked(server: Server, tmp_path: Path, make: Any, member: str, says: str) -> None:
    server.files["/data.pack"] = Served(make(bomb=bytes(30_000_000)))
    with pytest.raises(LlamaGeneError, match=says):
        fetch(server, tmp_path, f"/data.pack#{member}", "a.csv")
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize("make", [_zip, _tar])
@pytest.mark.parametrize("place", [40, 2000, -30])
def test_a_damaged_archive_is_said_and_fetched_anew(server: Server, tmp_path: Path, make: Any, place: int) -> None:
    whole = make(**{"a.csv": os.urandom(4000)})
    damaged = bytearray(whole)
    damaged[place] ^= 0xFF
    server.files["/data.pack"] = Served(bytes(damaged[:place] if place < 0 else damaged))
    with pytest.raises(LlamaGeneError, match=r"a\.csv"):
        fetch(server, tmp_path, "/data.pack#a.csv", "a.csv")
    server.files["/data.pack"] = Served(whole, '"two"')
    fetch(server, tmp_path, "/data.pack#a.csv", "a.csv")
    assert len((tmp_path / "a.csv").read_bytes()) == 4000


def test_a_file_of_an_archive_may_be_brought_by_hand(server: Server, tmp_path: Path) -> None:
    server.files["/data.pack"] = Served()
    (tmp_path / "a.csv").write_text("by hand")
    assert fetch(server, tmp_path, "/data.pack#a.csv", "a.csv") == []


def test_what_is_no_archive_is_said(server: Server, tmp_path: Path) -> None:
    server.files["/data.pack"] = Served()
    with pytest.raises(LlamaGeneError, match=r"'a\.csv' cannot be unpacked"):
        fetch(server, tmp_path, "/data.pack#a.csv", "a.csv")


# The catalogue


def test_the_catalogue_says_what_people_have_to_know() -> None:
    for name, public in load_catalogue().items():
        assert public.title, name
        if public.includes:
            assert set(public.includes) <= set(load_catalogue())
            continue
        assert public.licence, name
        assert public.citation, name
        assert public.file, name
        for file in public.file:
            assert file.origin.startswith(("https://", "hf://"))
            assert file.origin.count("*") == file.path.count("*")
            DataFolder(Path()).target(file.path)
    told = (ROOT / "docs" / "data.md").read_text()
    assert [name for name in load_catalogue() if f"`{name}`" not in told] == []
    paths = [one.path for one in wanted_of_sets(list(load_catalogue()))]
    assert len(set(paths)) == len(paths)


@given(st.text("ab_.", max_size=9), st.text("ab_.", max_size=9))
def test_stars_are_filled_in_order_and_back(first: str, second: str) -> None:
    name = f"GUE/emp_{first}/{second}.csv"
    path = fill("GUE/emp_*/*.csv", name, "tasks/*/*.csv")
    assert path == f"tasks/{first}/{second}.csv"
    assert fill("tasks/*/*.csv", path, "GUE/emp_*/*.csv") == name


@pytest.mark.parametrize("recipe", ["paper-dna", "paper-gene", "llama3-gene"])
def test_the_genomes_proteins_and_gue_of_the_recipes_can_be_fetched(recipe: str) -> None:
    from llama_gene.config import load_recipe

    files = load_recipe(ROOT / "recipes" / f"{recipe}.toml").data.file
    wanted, by_hand = wanted_of_recipe(files)
    assert {one.licence for one in wanted} <= {public.licence for public in load_catalogue().values()} - {""}
    assert all(file.path.startswith(("tasks/p", "tasks/text", "corpus/english")) for file in by_hand)
    assert any("/GUE/emp_H3/train.csv" in one.origin for one in wanted)


def test_an_origin_of_the_recipe_goes_before_the_catalogue() -> None:
    file = DataFileSettings(path="corpus/protein/uniref50.fasta.gz", origin="https://lab/u.gz", size=1, letters=1)
    assert wanted_of_recipe([file])[0] == [Wanted("https://lab/u.gz", "corpus/protein/uniref50.fasta.gz")]


# The command


def call(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from llama_gene.cli import main; main()", "data", *map(str, words)]
    env = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"} | environment
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


NCBI = "/ftp.ncbi.nlm.nih.gov/genomes/all/GCF/000/005/845/GCF_000005845.2_ASM584v2"


def test_a_set_from_a_mirror(server: Server, tmp_path: Path) -> None:
    genome = compress(b">chr\nACGT\n")
    name = "GCF_000005845.2_ASM584v2_genomic.fna.gz"
    server.files[f"{NCBI}/{name}"] = Served(genome)
    server.files[f"{NCBI}/md5checksums.txt"] = Served(f"{hashlib.md5(genome).hexdigest()}  ./{name}\n".encode())
    words = ("fetch", "ecoli", "--root", tmp_path, "--mirror", server.address)
    dry = call(*words, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert f"{len(genome)} B  corpus/dna/{name}" in dry.stdout
    assert "licence: public domain (NCBI); please cite Blattner" in dry.stdout
    assert left_in(tmp_path) == []
    asked = call(*words)
    assert asked.returncode == 2
    assert "add --yes" in asked.stderr
    done = call(*words, "--yes")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "corpus" / "dna" / name).read_bytes() == genome
    record = DataFolder(tmp_path).record_of(f"corpus/dna/{name}")
    assert record is not None
    assert (record["checked"], record["origin"][:30]) == ("md5", "https://ftp.ncbi.nlm.nih.gov/g")
    assert "there already, and verified: 1 files" in call(*words).stdout


def test_the_files_of_a_recipe(server: Server, tmp_path: Path) -> None:
    server.files["/a.fa"] = Served(b">a\nACGT\n")
    recipe = tmp_path / "own.toml"
    recipe.write_text(f"""
name = "own"
[vocabulary.dna]
files = ["a.fa"]
[model]
base = "x/y"
[data]
root = "{tmp_path}/root"
[[data.file]]
path = "a.fa"
origin = "{server.address}/a.fa"
size = 9
letters = 4
[[data.file]]
path = "b.csv"
origin = "ask our neighbours"
size = 9
letters = 4
""")
    done = call("fetch", "--recipe", recipe, "--yes")
    assert done.returncode == 2
    assert f"{tmp_path}/root/b.csv: ask our neighbours" in done.stdout
    assert "1 files are to be brought by hand" in done.stderr
    (tmp_path / "root" / "b.csv").write_text("brought")
    assert call("fetch", "--recipe", recipe).returncode == 0


@pytest.mark.parametrize("stopped_by", [signal.SIGKILL, signal.SIGINT])
def test_stopped_midway_and_again_the_bytes_are_the_same(
    server: Server, tmp_path: Path, stopped_by: signal.Signals
) -> None:
    name = "GCF_000005845.2_ASM584v2_genomic.fna.gz"
    genome = compress(os.urandom(1_000_000))
    server.files[f"{NCBI}/{name}"] = Served(genome, slow=0.1)
    server.files[f"{NCBI}/md5checksums.txt"] = Served(b"")
    words = ["data", "fetch", "ecoli", "--yes", "--root", str(tmp_path), "--mirror", server.address]
    # Under a shell that runs the tests in the background Ctrl-C would be ignored from the start.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heed}; from llama_gene.cli import main; main()", *words]
    part = tmp_path / "corpus" / "dna" / ".fetch" / f"{name}.part"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while not part.exists() or part.stat().st_size < 100_000:
            assert process.poll() is None, process.stderr
            time.sleep(0.01)
        process.send_signal(stopped_by)
        _, said = process.communicate()
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130}[stopped_by]
    assert "Traceback" not in said
    assert 100_000 <= part.stat().st_size < len(genome)
    assert not (tmp_path / "corpus" / "dna" / name).exists()
    server.files[f"{NCBI}/{name}"].slow = 0
    begun = part.stat().st_size
    assert call(*words[1:]).returncode == 0
    assert server.gets[-1] == f"bytes={begun}-"
    assert (tmp_path / "corpus" / "dna" / name).read_bytes() == genome


# The hub

COMMIT = "2db3b738af3c676c243350ac337b9560ab15b04b"
GUE = "/datasets/leannmlindsey/GUE"


def serve_hub(server: Server, files: dict[str, bytes]) -> None:
    """Answer as the hub does for GUE at the catalogue's commit."""
    tree = []
    for name, data in files.items():
        oid = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
        tree.append({"type": "file", "path": name, "size": len(data), "oid": oid})
        headers = {"X-Repo-Commit": COMMIT}
        server.files[f"{GUE}/resolve/{COMMIT}/{name}"] = Served(data, f'"{oid}"', headers=headers)
    about = json.dumps({"id": "leannmlindsey/GUE", "sha": COMMIT, "siblings": []}).encode()
    server.files[f"/api{GUE}/revision/{COMMIT}"] = Served(about, headers={"Content-Type": "application/json"})
    server.files[f"/api{GUE}/tree/{COMMIT}"] = Served(json.dumps(tree).encode())


def hub_call(server: Server, root: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return call("fetch", "gue", "--yes", "--root", root, *more, HF_ENDPOINT=server.address, HF_HOME=str(root / ".hf"))


FILES = {
    "README.md": b"# GUE",
    "GUE/emp_H3/train.csv": b"sequence,label\nACGT,1\n" * 9,
    "GUE/human_tf_0/dev.csv": b"sequence,label\nAC,1\n",
    "GUE/mouse_1/dev.csv": b"sequence,label\nAG,1\n",
    "GUE/prom_core_all/test.csv": b"sequence,label\nAA,1\n",
    "GUE/splice_reconstructed/train.csv": b"sequence,label\nAT,2\n",
    "GUE/virus_covid/train.csv": b"sequence,label\nGG,8\n",
    "GUE/fungi_species_20/train.csv": b"sequence,label\nGG,8\n",
}
LANDED = ["EMP/H3/train", "mouse/1/dev", "prom/prom_core_all/test", "splice/reconstructed/train", "tf/0/dev",
          "virus/covid/train"]  # fmt: skip


def test_gue_lands_where_its_tasks_look(server: Server, tmp_path: Path) -> None:
    serve_hub(server, FILES)
    done = hub_call(server, tmp_path)
    assert done.returncode == 0, done.stderr
    expected = [f"tasks/GUE/{path}.csv" for path in LANDED]
    assert [name for name in left_in(tmp_path) if not name.startswith(".hf")] == ["fetched.json", *expected]
    assert (tmp_path / "tasks/GUE/EMP/H3/train.csv").read_bytes() == FILES["GUE/emp_H3/train.csv"]
    record = DataFolder(tmp_path).record_of("tasks/GUE/virus/covid/train.csv")
    assert record is not None
    assert record["origin"] == f"hf:/{GUE}@{COMMIT}/GUE/virus_covid/train.csv"
    assert (record["checked"], record["version"]) == ("git", COMMIT)
    assert "there already, and verified: 6 files" in hub_call(server, tmp_path).stdout


def test_a_cut_transfer_from_the_hub_goes_on(server: Server, tmp_path: Path) -> None:
    large = DATA * 12  # the hub's library writes by 10 MiB
    serve_hub(server, {**FILES, "GUE/emp_H3/train.csv": large})
    server.files[f"{GUE}/resolve/{COMMIT}/GUE/emp_H3/train.csv"].cuts = [11_000_000]
    done = hub_call(server, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"bytes={10 << 20}-" in server.gets
    assert (tmp_path / "tasks/GUE/EMP/H3/train.csv").read_bytes() == large


def test_a_file_of_the_hub_that_is_not_what_it_lists_is_kept_aside(server: Server, tmp_path: Path) -> None:
    serve_hub(server, FILES)
    served = server.files[f"{GUE}/resolve/{COMMIT}/GUE/emp_H3/train.csv"]
    served.data = served.data[::-1]
    done = hub_call(server, tmp_path)
    assert done.returncode == 2
    assert "its git is" in done.stderr
    assert not (tmp_path / "tasks/GUE/EMP/H3/train.csv").exists()


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (403, {"X-Error-Code": "GatedRepo"}, "is gated\n  ask for access at https://huggingface.co/datasets/"),
        (404, {"X-Error-Code": "RepoNotFound"}, "the hub has no dataset 'leannmlindsey/GUE'"),
        (404, {"X-Error-Code": "RevisionNotFound"}, f"at revision '{COMMIT}' any more"),
    ],
)
def test_a_hub_that_refuses(server: Server, tmp_path: Path, status: int, headers: dict[str, str], says: str) -> None:
    serve_hub(server, FILES)
    server.files[f"/api{GUE}/revision/{COMMIT}"] = Served(b"{}", status=status, headers=headers)
    done = hub_call(server, tmp_path)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_the_hub_has_no_more(server: Server, tmp_path: Path) -> None:
    serve_hub(server, {"GUE/emp_H3/train.csv": b"x"})
    done = hub_call(server, tmp_path)
    assert done.returncode == 2
    assert f"no file 'GUE/human_tf_*/*.csv' at {COMMIT}" in done.stderr


def test_names_in_a_hub_that_lead_out_are_refused(server: Server, tmp_path: Path) -> None:
    serve_hub(server, {"GUE/emp_../x.csv": b"evil", **FILES})
    done = hub_call(server, tmp_path)
    assert done.returncode == 2
    assert "not a place in the data root" in done.stderr
