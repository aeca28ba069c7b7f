"""The report of a home, from invented runs (synthetic): what it says, that it stands alone, how it looks."""

import csv
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from agent.config import make
from benchmarks.synthetic import WORLDS, fill
from dreamctl.jobs import sweeps
from dreamctl.jobs.spec import RunSpec
from dreamctl.jobs.sweeps import Request
from dreamctl.results.report import folder, of_sweep
from dreamctl.store import open_store
from dreamctl.store.models import Run
from tests.dreamctl.conftest import cli, typed

TASKS = ("hopper_hop", "walker_walk")
EVIL = "<script>alert(1)</script>|`x`"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Figures 7, 8 and 11 for two tasks, two runs of another preset, and what a stranger may have written."""
    store = open_store(tmp_path_factory.mktemp("report") / "home")
    cells = [
        cell
        for name in ("behavior", "representation", "action-repeat")
        for cell in sweeps.build(name, Request(tasks=TASKS)).cells()
    ]
    cells += [RunSpec("walker_walk", seed, make("tiny"), "tiny", f"tiny-{seed}") for seed in (0, 1)]
    fill(store, list({cell.digest: cell for cell in cells}.values()), WORLDS["confirming"], 12.0, 50_000)
    with store._write() as session:
        for run in session.query(Run).filter(Run.preset == "tiny"):
            run.device, run.name = EVIL, f"{EVIL}-{run.seed}"
    runs = [run.id for run in store.runs() if run.preset == "paper"]
    sweep = store.open_sweep("mine", {"parts": [], "limit": None}, 3)
    store.enroll(sweep.id, runs)
    return store.home


@pytest.fixture(scope="module")
def written(home):
    done = typed("report", "--json", "--out", home / "out", home=home)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.text += " " if tag in ("td", "th", "tr", "h3") else ""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page(home, written):
    return Page((home / "out" / "report.html").read_text())


def test_the_page_stands_alone(page):
    """Nothing is fetched and nothing runs: pictures are inside, links lead to places on the page."""
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "video", "base"}
    for tag, attributes in page.tags:
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(key) or ""
            assert not value or value.startswith(("data:image/png;base64,", "#")), (tag, value[:80])
        assert not [key for key in attributes if key.startswith("on")]
    targets = {attributes.get("id") for _, attributes in page.tags}
    assert {a["href"][1:] for t, a in page.tags if t == "a"} <= targets
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert {"Figure 2", "Figure 7", "Figure 10", "Figure 11"} <= {p["alt"].split(":")[0] for p in pictures}


def test_what_strangers_wrote_is_text(home, page):
    assert EVIL in page.text
    markdown = (home / "out" / "report.md").read_text()
    assert EVIL not in markdown and not re.search(r"(?<!\\)<script", markdown)
    assert r"\<script\>alert(1)\</script\>\|\`x\`" in markdown


def test_every_claim_is_there_once_for_each_preset(home, written, page):
    assert [c["claim"] for c in written["claims"]] == [*range(1, 20)] * 2
    assert {c["preset"] for c in written["claims"]} == {"paper", "tiny"}
    by_number = {c["claim"]: c for c in written["claims"] if c["preset"] == "paper"}
    assert by_number[6]["outcome"] == "confirmed" and by_number[1]["outcome"] == "undecided"
    markdown = (home / "out" / "report.md").read_text()
    for claim in written["claims"]:
        assert f"{claim['claim']}. “{claim['text']}”" in page.text
        assert f"### {claim['claim']}. {claim['outcome']}" in markdown
        if claim["missing"]:
            assert claim["missing"] in page.text and claim["missing"] in markdown
    assert "This is not the paper's setting" in page.text  # of tiny


def test_scores_are_those_of_the_runs(home, written, page):
    store = open_store(home)
    rows = list(csv.DictReader((home / "out" / "scores.csv").open()))
    expected = [
        store.evaluations(run.id)[-1].mean
        for run in store.runs(task="hopper_hop", method="planet", objective="reconstruction")
        if run.config["action_repeat"] == 2
    ]
    (row,) = [r for r in rows if (r["row"], r["column"]) == ("Hopper Hop", "PlaNet")]
    assert float(row["mean"]) == pytest.approx(np.mean(expected), abs=1e-3)
    assert float(row["std"]) == pytest.approx(np.std(expected), abs=1e-3) and row["seeds"] == "3"
    assert f"{np.mean(expected):.0f} ± {np.std(expected):.0f}" in page.text
    assert {r["table"].split(" after")[0] for r in rows} == {"Methods", "Objectives", "Action repeats"}
    latex = (home / "out" / "scores.tex").read_text()
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 4
    assert f"{np.mean(expected):.0f} $\\pm$ {np.std(expected):.0f}" in latex
    for line in re.findall(r"^Hopper Hop.*", latex, re.M):
        assert line.count("&") == 3 and line.endswith(r"\\")


def test_hours_cost_settings_and_gaps(page):
    text = " ".join(page.text.split())
    hours = float(re.search(r"PlaNet cuda:0 of \S+ 6 ([\d.]+)", text)[1])
    assert hours == pytest.approx(17, rel=0.05)
    assert "D4PG (not run here) - - - - 24" in text
    # 42 runs of the paper's length: 36 at about 10 hours per 1e6 steps, 6 at 17
    (cost,) = re.findall(r"mine 42 42 84,000,000 ([\d.]+) 0", text)
    assert float(cost) == pytest.approx(2 * (36 * 10 + 6 * 17), rel=0.02)
    assert "action_repeat 2 (30), 1 (6), 4 (6)" in text
    gaps = re.search(r"figure 4: imagination horizons, all methods (\d+) of 288 runs (dreamctl sweep horizon)", text)
    assert gaps and int(gaps[1]) == 288 - 9  # walker_walk at horizon 20 is there


def test_markdown_tables_are_even_and_its_pictures_exist(home, written):
    text = (home / "out" / "report.md").read_text()
    table = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append(len(re.findall(r"(?<!\\)\|", line)))
        elif table:
            assert len(set(table)) == 1, line
            table = []
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (home / "out" / target).is_file()


def test_a_report_of_a_sweep_is_of_its_runs_and_goes_to_it(home):
    done = cli("report", "--sweep", "mine", home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sweep mine, preset paper, 2,000,000 environment steps, 3 seeds: of 19 claims ")
    store = open_store(home)
    text = (folder(store, "mine") / "report.html").read_text()
    assert "<title>dreamctl report: mine</title>" in text and "tiny" not in text
    assert [path.name for path in of_sweep(store, "mine")] == ["report.html", "scores.csv", "scores.tex"]
    assert of_sweep(store, "other") == []


def test_mlflow_has_the_report_with_the_sweep(store, monkeypatch):
    """The mirror copies it to the run that stands for the sweep, and again when it has changed."""
    monkeypatch.setenv("DREAMCTL_MLFLOW", "")
    from mlflow import MlflowClient

    from dreamctl.store.mirror import Mirror

    fill(store, [RunSpec("walker_walk", 0, make("tiny"), "tiny")], every=100_000)
    sweep = store.open_sweep("mine", {"parts": [], "limit": None}, 3)
    store.enroll(sweep.id, [run.id for run in store.runs()])
    assert typed("report", "--sweep", "mine", "--out", folder(store, "mine"), home=store.home).returncode == 0
    mirror = Mirror(store, lambda store, run, path: Image.new("RGB", (8, 8)).save(path), of_sweep)
    mirror.sync()
    client = MlflowClient(tracking_uri=mirror.uri)
    there = store.find_sweep("mine").mlflow_run
    kept = {item.path for item in client.list_artifacts(there, "figures")}
    assert {"figures/report.html", "figures/scores.csv", "figures/scores.tex"} <= kept
    page = folder(store, "mine") / "report.html"
    page.write_text("changed")
    mirror.sync()
    assert open(client.download_artifacts(there, "figures/report.html")).read() == "changed"


def test_homes_without_evaluated_runs_are_one_line(tmp_path, store):
    nothing = typed("report", home=tmp_path / "none")
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
    store.create_run(task="walker_walk", seed=0, config=make("tiny").to_dict(), digest="0" * 64, preset="tiny")
    waiting = typed("report", home=store.home)
    assert waiting.returncode == 2 and "none of these runs has been evaluated yet" in waiting.stderr


BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")
@pytest.mark.parametrize(("scheme", "page_color"), [("1", (255, 255, 255)), ("0", (22, 25, 29))])
def test_it_looks_right_in_a_browser(home, written, tmp_path, scheme, page_color):
    """In light and in dark: the background, coloured verdicts, and figures that are drawn, not broken."""
    picture = tmp_path / "page.png"
    command = [
        *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
        *(f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1000,16000", f"--screenshot={picture}"),
        *(f"--blink-settings=preferredColorScheme={scheme}", "--host-resolver-rules=MAP * ~NOTFOUND"),
        f"file://{home / 'out' / 'report.html'}",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    packed, counts = np.unique(pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32), return_counts=True)
    seen = {(c >> 16, c >> 8 & 255, c & 255): n for c, n in zip(packed.tolist(), counts.tolist(), strict=True)}
    assert max(seen, key=seen.get) == page_color
    assert seen[55, 126, 184] > 500  # the blue of Dreamer's lines
    pills = {"1": [(227, 244, 233), (252, 243, 214)], "0": [(22, 48, 31), (51, 41, 13)]}[scheme]
    assert all(seen.get(color, 0) > 1000 for color in pills)
    # nothing sticks out at the right
    assert (pixels[:, -8:] == page_color).all()
