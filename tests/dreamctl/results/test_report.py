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
from dreamctl.results import answers
from dreamctl.results.cells import Choice
from dreamctl.results.figures import style
from dreamctl.results.report import folder, of_sweep, parts
from dreamctl.store import open_store
from dreamctl.store.models import Run
from dreamctl.wording import estimated
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
    pictures = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert pictures == [
        *(f"mine: learning curves by {axis}" for axis in ("method", "objective", "action repeat")),
        "Runs of no sweep: learning curves",
    ]


def test_what_strangers_wrote_is_text(home, page):
    assert EVIL in page.text
    markdown = (home / "out" / "report.md").read_text()
    assert EVIL not in markdown and not re.search(r"(?<!\\)<script", markdown)
    assert r"\<script\>alert(1)\</script\>\|\`x\`" in markdown


def test_every_claim_is_there_once(home, written, page):
    """Those that are decided for each preset, the others in one list with the sweep that would decide them."""
    assert [c["claim"] for c in written["claims"]] == [*range(1, 20)] * 2
    assert {c["preset"] for c in written["claims"]} == {"paper", "tiny"}
    by_number = {c["claim"]: c for c in written["claims"] if c["preset"] == "paper"}
    assert by_number[6]["outcome"] == "confirmed" and by_number[1]["outcome"] == "undecided"
    markdown = (home / "out" / "report.md").read_text()
    decided = {c["claim"] for c in written["claims"] if c["outcome"] != "undecided"}
    for claim in written["claims"]:
        assert page.text.count(f"{claim['claim']}. “{claim['text']}”") == 1
        if claim["outcome"] != "undecided":
            assert f"### {claim['claim']}. {claim['outcome']}" in markdown
        elif claim["preset"] == "paper" and claim["claim"] not in decided:
            assert claim["missing"] in page.text and claim["missing"] in markdown
    assert "Not the paper's setting" in page.text  # of tiny


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
    columns = {r["column"] for r in rows if r["table"].startswith("mine")}
    assert columns == {*style.METHODS.values(), *style.OBJECTIVES.values(), *(f"action_repeat={n}" for n in (1, 2, 4))}
    assert {r["row"] for r in rows} == {"Hopper Hop", "Walker Walk"}  # no row for what was not run
    latex = (home / "out" / "scores.tex").read_text()
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 4
    assert f"{np.mean(expected):.0f} $\\pm$ {np.std(expected):.0f}" in latex
    for line in re.findall(r"^Hopper Hop.*", latex, re.M):
        assert line.count("&") == 3 and line.endswith(r"\\")


def test_hours_and_cost(page):
    text = " ".join(page.text.split())
    hours = float(re.search(r"PlaNet cuda:0 of \S+ 6 ([\d.]+)", text)[1])
    assert hours == pytest.approx(17, rel=0.05)
    assert "D4PG (not run here) - - - - 24" in text
    # 42 runs of the paper's length: 36 at about 10 hours per 1e6 steps, 6 at 17
    (cost,) = re.findall(r"mine 42 42 84,000,000 ([\d.]+) 0", text)
    assert float(cost) == pytest.approx(2 * (36 * 10 + 6 * 17), rel=0.02)


def by_hand(folder):
    """{(folder, row, column): the mean} of what a figure's table ends with, and of scores.csv."""
    ends = {}
    for path in folder.glob("*/[0-9]-*.csv"):
        for row in csv.DictReader(path.open()):
            task, axis = style.title(row["task"]), path.stem.partition("-")[2]
            if "status" in row:  # scores over a field
                ends[path.parent.name, f"{task}, {row['group']}", f"{axis}={row[axis]}"] = float(row["mean"])
            elif not row["run"] and not row["source"] and row["of_seeds"]:
                ends[path.parent.name, task, row["group"]] = float(row["mean"])  # the last one stays
    return ends


@pytest.fixture(scope="module")
def recorded(asked, tmp_path_factory):
    """The folder of the report on the recorded runs."""
    out = tmp_path_factory.mktemp("recorded")
    assert typed("report", "--out", out, home=asked).returncode == 0
    return out


def test_tables_figures_and_questions_read_the_same_runs_at_the_same_length(recorded):
    """Among the recorded runs three of 300,000 steps have the settings of others."""
    scores = {}
    for row in csv.DictReader((recorded / "scores.csv").open()):
        scores[row["table"].split(",")[0], row["row"], row["column"]] = float(row["mean"])
    ends = by_hand(recorded)
    shared = {key for key in scores if key[2] != "Score"}
    assert len(shared) == 6 + 6 + 24 + 3 and shared <= ends.keys()
    for key in shared:
        assert ends[key] == pytest.approx(scores[key], abs=1e-3), key
    assert round(scores["walker_stand-300k", "Walker Stand", "Score"]) == 835
    assert round(scores["representation-tiny", "Walker Stand", "Reconstruction"]) == 579
    contrast = {
        row["contrast"]: row for row in csv.DictReader((recorded / "horizon-tiny/question-planning.csv").open())
    }
    ours, theirs = (
        np.mean(
            [
                scores["horizon-tiny", f"{task}, {who}", f"horizon={h}"]
                for task in ("Walker Walk", "Cheetah Run")
                for h in (3, 5, 10, 25)
            ]
        )
        for who in ("Dreamer", "PlaNet")
    )
    assert float(contrast["dreamer - planet"]["estimate"]) == pytest.approx(ours - theirs, abs=1e-3)


def test_the_page_begins_with_the_questions(asked, tmp_path):
    done = typed("report", "--sweep", "representation-tiny", "--json", "--out", tmp_path, home=asked)
    questions = json.loads(done.stdout)["questions"]
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    given = answers.of_sweep(open_store(asked), open_store(asked).find_sweep("representation-tiny"))
    assert questions == json.loads(json.dumps([{"sweep": "representation-tiny", **answer} for answer in given]))
    words = " ".join(page.text.split())
    places = []
    for question in questions:
        assert question["asks"] in words and f"{question['answer']} {estimated(question)}" in words
        places.append(words.index(question["asks"]))
    assert places == sorted(places) and places[-1] < words.index("Scores representation-tiny")
    assert words.count("asked after 18 runs. dreamctl status representation-tiny") == len(questions)
    alts = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert [alt for alt in alts if "estimates" in alt] == [
        f"representation-tiny, {question['question']}: estimates and intervals" for question in questions
    ]
    assert "no runs" not in text


def test_runs_that_differ_in_their_length_alone_count_once(store):
    """The shorter of two equal runs where most are short; one that is only there longer is read at that length."""

    def spec(seed, steps, name):
        return RunSpec("walker_walk", seed, make("tiny", {"steps": str(steps)}), "tiny", name)

    cells = [spec(seed, 100_000, f"short-{seed}") for seed in (0, 1, 3)]
    cells += [spec(0, 200_000, "long"), spec(2, 200_000, "other")]
    fill(store, cells, WORLDS["published"], 5.0, 10_000)
    (part,) = parts.find(store, Choice())
    runs = {run.name: run for run in store.runs()}
    assert part.steps == 100_000
    assert part.notes == (
        f"walker_walk seed 0 was trained twice: that of 100,000 steps counts: {runs['short-0'].name}",
    )
    at = {e.env_steps: e.mean for e in store.evaluations(runs["other"].id)}
    short = {run.id: run.score for name, run in runs.items() if name.startswith("short")}
    assert part.scores == short | {runs["other"].id: at[100_000]}


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
    assert re.match(r"\d+ claims of the paper decided, \d+ not\n", done.stdout)
    store = open_store(home)
    text = (folder(store, "mine") / "report.html").read_text()
    assert "<title>dreamctl report: Sweep mine</title>" in text and "tiny" not in text
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
    content = {"questions": {"taller": {"asks": "Is it | taller?"}}}
    version = store.register(sweep.id, content, [run.digest for run in store.runs()], "0" * 64).version
    answer = {"question": "taller", "answer": "confirmed", "look": 0, "version": version, "asked": "", "counted": {}}
    store.record_look(sweep.id, 0, seeds=1, version=version, answers=[answer | {"estimate": 7, "low": 3.1, "high": 9}])
    page = folder(store, "mine") / "report.html"
    page.write_text("changed")
    mirror.sync()
    assert open(client.download_artifacts(there, "figures/report.html")).read() == "changed"
    told = client.get_run(there).data.tags["mlflow.note.content"]
    assert "| Is it / taller? | **confirmed** | 7 points [3, 9] | asked after 1 run |" in told


def test_homes_without_evaluated_runs_are_one_line(tmp_path, store):
    nothing = typed("report", home=tmp_path / "none")
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
    store.create_run(task="walker_walk", seed=0, config=make("tiny").to_dict(), digest="0" * 64, preset="tiny")
    waiting = typed("report", home=store.home)
    assert waiting.returncode == 2 and "none of these runs has been evaluated yet" in waiting.stderr


BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND",
]


def browse(folder, profile, *options):
    page = f"file://{folder / 'report.html'}"
    command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", *options, page]
    subprocess.run(command, check=True, capture_output=True, timeout=200)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")
@pytest.mark.parametrize(("scheme", "page_color"), [("1", (255, 255, 255)), ("0", (22, 25, 29))])
def test_it_looks_right_in_a_browser(recorded, tmp_path, scheme, page_color):
    """In light and in dark: the background, coloured answers, and figures that are drawn, not broken."""
    picture = tmp_path / "page.png"
    size = "--window-size=1000,9000"
    browse(
        recorded,
        tmp_path / "profile",
        size,
        f"--screenshot={picture}",
        f"--blink-settings=preferredColorScheme={scheme}",
    )
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    packed, counts = np.unique(pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32), return_counts=True)
    seen = {(c >> 16, c >> 8 & 255, c & 255): n for c, n in zip(packed.tolist(), counts.tolist(), strict=True)}
    assert max(seen, key=seen.get) == page_color
    assert seen[55, 126, 184] > 500  # the blue of Dreamer's lines
    pills = {"1": [(227, 244, 233), (252, 243, 214)], "0": [(22, 48, 31), (51, 41, 13)]}[scheme]
    assert all(seen.get(color, 0) > 1000 for color in pills)
    # nothing sticks out at the right
    assert (pixels[:, -8:] == page_color).all()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")
def test_the_recorded_runs_are_six_pages_of_a4_at_most(recorded, tmp_path):
    paper = tmp_path / "report.pdf"
    browse(recorded, tmp_path / "profile", f"--print-to-pdf={paper}")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())) <= 6
