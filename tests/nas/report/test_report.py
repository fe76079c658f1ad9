"""The report shows what the result files say, needs nothing but itself, and refuses bad files."""

import json
import random
import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from PIL import Image

from nas.report import architecture_figure, load_run, tradeoff_figure, write_report
from nas.report.svg import ticks
from search_spaces import UserError, space

SETTINGS = {"channels": 1, "resolution": 16}


def _score(value, split="test"):
    return {
        "name": "accuracy",
        "value": value,
        "unit": "%",
        "higher_is_better": True,
        "split": split,
    }


def _layers(found, architecture):
    return [
        {"name": o.name, "type": o.type, "latency_ms": 1e-7 * o.macs + 1e-4}
        for o in found.describe(architecture).operations
    ]


def _run(folder, *, name="quickstart", seed=0):
    """A run folder with made-up figures, and the discovered architecture."""
    source = random.Random(seed)
    found = space("mobilenet_v3_tiny", **SETTINGS)
    largest, scaled = found.largest(), found.scaled(0.5)
    values = dict(found.random(source, low=0.25).choices)
    values["stage2.block2.width"] = 0
    discovered = found.architecture(values)
    comparison = []
    rows = (
        ("largest", "Largest", largest, 98.6),
        ("scaled", "Uniformly scaled", scaled, 96.9),
        ("discovered", "Discovered", discovered, 97.8),
    )
    for role, label, architecture, value in rows:
        network = found.describe(architecture)
        predicted = sum(layer["latency_ms"] for layer in _layers(found, architecture))
        comparison.append(
            {
                "label": label,
                "role": role,
                "score": _score(value),
                "latency_predicted_ms": predicted,
                "latency_measured_ms": predicted * 1.05,
                "macs": network.macs,
                "params": network.params,
                "architecture": architecture.to_dict(),
                "layers": _layers(found, architecture),
            }
        )
    family = [
        {
            "iteration": i,
            "architecture": a.to_dict(),
            "score": _score(v, "holdout"),
            "metrics": {"latency": m, "macs": found.describe(a).macs},
        }
        for i, (a, v, m) in enumerate(
            ((largest, 98.0, 0.4), (scaled, 97.0, 0.3), (discovered, 96, 0.2))
        )
    ]
    _write(
        folder / "result.json",
        {
            "step": "quickstart",
            "experiment": name,
            "task": "digits",
            "comparison": comparison,
            "seconds": {"table": 7.1, "supernet": 41.0, "search": 12.5, "train": 100.0},
        },
    )
    search = {
        "step": "search",
        "family": family,
        "best": family[2],
        "budgets": {"latency": {"value": 0.21, "unit": "ms"}},
        "table": {"identity": "0f", "name": "host", "description": "a processor"},
        "seconds": {"search": 12.5, "evaluation": 11.0, "overhead": 0.5},
        "seed": 7,
    }
    _write(folder / "search" / "latency" / "result.json", search)
    return found, discovered


def _write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schema": 1, **data}))


class _Text(HTMLParser):
    """The text of a page, and every attribute that could load something."""

    def __init__(self):
        super().__init__()
        self.text, self.loads, self.tags = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [v for k, v in attributes if k in ("src", "href", "xlink:href", "action")]

    def handle_data(self, data):
        self.text.append(data)


def _parse(path):
    page = path.read_text(encoding="utf-8")
    parser = _Text()
    parser.feed(page)
    return page, parser, " ".join(parser.text)


def test_the_page_holds_the_figures_and_loads_nothing(tmp_path):
    found, discovered = _run(tmp_path / "runs" / "quickstart")
    out = write_report([tmp_path / "runs" / "quickstart"], tmp_path / "new" / "report.html")
    page, parser, text = _parse(out)
    for shown in (
        "98.6 %",
        "96.9 %",
        "97.8 %",
        "41 s",
        "12 s",
        "1 min 40 s",
        "2 min 40 s",
        "−4.8 %",
    ):
        assert shown in text, shown
    for unit in found.units:
        kept = discovered[unit.width]
        tip = f"{unit.name}: {kept} of {unit.filters}" if kept else f"{unit.name}: removed"
        assert tip in text
    for change in ("16 px", "8 px", "4 px"):
        assert change in text
    assert parser.loads == [] and not {"script", "link", "iframe", "img"} & set(parser.tags)
    assert not re.search(r"url\(|@import|https?:", page)
    figures = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    titles = set()
    for figure in figures:
        root = ElementTree.fromstring(figure)
        titles.add(root.get("aria-label"))
    assert {"Filters kept", "Time per step", "Latency per unit"} <= titles
    assert {"Score against latency", "Score against MACs", "Score against parameters"} <= titles
    assert "Predicted against measured latency" in titles


def test_runs_side_by_side_and_names_are_text_not_markup(tmp_path):
    _run(tmp_path / "a", name="<script>alert(1)</script>")
    _run(tmp_path / "b", name="second & last", seed=1)
    out = write_report([tmp_path / "a", tmp_path / "b"], tmp_path / "both.html")
    _, parser, text = _parse(out)
    assert "script" not in parser.tags
    assert "<script>alert(1)</script>" in text and "second & last" in text
    assert text.count("Discovered") >= 2
    assert "Filters kept: second & last" in text


def test_a_run_that_has_only_searched_is_reported(tmp_path):
    _, discovered = _run(tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    run = load_run(tmp_path / "run")
    assert run.discovered == discovered
    assert run.searches[0].metrics == ("latency", "macs")
    alone = write_report([tmp_path / "run" / "search" / "latency"], tmp_path / "one.html")
    _, _, text = _parse(alone)
    assert "Filters kept" in text and "a processor" in text
    assert "12 s" in text and "Train super-network" not in text


def test_the_report_says_how_sure_a_searchs_scores_are(tmp_path):
    _run(tmp_path / "run")
    path = tmp_path / "run" / "search" / "latency" / "result.json"
    data = json.loads(path.read_text())
    _, _, before = _parse(write_report([tmp_path / "run"], tmp_path / "one.html"))
    assert "winner's curse" not in before, "files of earlier versions say nothing of it"
    data["best"] |= {"interval": [81.5, 84.25], "expected": 80.75}
    path.write_text(json.dumps(data))
    _, _, text = _parse(write_report([tmp_path / "run"], tmp_path / "one.html"))
    assert "winner's curse" in text
    assert "81.5 % to 84.2 %" in text and "80.8 %" in text


def test_networks_trained_later_join_the_comparison(tmp_path):
    _, discovered = _run(tmp_path)
    for name in ("discovered", "small"):
        role = "discovered" if name == "discovered" else "member"
        trained = {
            "step": "train",
            "name": name,
            "role": role,
            "architecture": discovered.to_dict(),
            "score": _score(91.2),
            "seconds": 9.0,
        }
        _write(tmp_path / "train" / name / "result.json", trained)
    rows = load_run(tmp_path).compared
    assert [row.role for row in rows] == ["largest", "scaled", "discovered", "member"]
    assert (rows[-1].label, rows[-1].score.text) == ("small", "91.2 %")
    assert rows[-1].latency_predicted_ms == 0.2, "known from the family"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"schema": 1, "compar', "truncated"),
        ('{"hello": 1}', "no 'schema'"),
        ("[1, 2]", "expected a JSON object"),
        ('{"schema": 99}', "schema 99"),
        ('{"schema": 1, "step": "quickstart", "comparison": [3]}', "seconds is missing"),
        (
            '{"schema": 1, "step": "quickstart", "seconds": {}, "comparison": [3]}',
            r"comparison\.0",
        ),
        (
            '{"schema": 1, "step": "quickstart", "seconds": {}, "comparison": '
            '[{"label": "a", "role": "other", "architecture": {"x": 1}}]}',
            r"comparison\.0\.architecture: not an architecture",
        ),
        ('{"schema": 1, "step": "quickstart", "seconds": {"a": 1e400}}', "not a finite number"),
        ('{"schema": 1}', "no result of a run"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_broken_and_foreign_results_are_refused_and_nothing_is_overwritten(
    tmp_path, content, message
):
    run = tmp_path / "run"
    run.mkdir()
    file = run / "result.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "report.html"
    out.write_text("an older report")
    with pytest.raises(UserError, match=message) as caught:
        write_report([run], out)
    assert str(run) in str(caught.value) and "\n" not in str(caught.value)
    assert out.read_text() == "an older report"
    with pytest.raises(UserError, match="no such run folder"):
        write_report([tmp_path / "absent"], out)


@pytest.mark.parametrize("values", [(0.0, 1.0), (96.1, 98.7), (5.0, 5.0), (0.0, 1e-5), (1e6, 3e9)])
def test_axes_reach_over_the_data(values):
    marks = ticks(*values)
    assert marks[0] <= values[0] and marks[-1] >= values[1]
    assert 2 <= len(marks) <= 9 and marks == sorted(set(marks))


def test_figures_for_tensorboard(tmp_path):
    found, discovered = _run(tmp_path)
    drawn = architecture_figure(found, discovered)
    filters = drawn.axes[0].patches
    heights = sorted(round(p.get_height(), 6) for p in filters if p.get_fill())
    kept = [discovered[unit.width] / unit.filters for unit in found.units]
    assert heights == sorted(round(share, 6) for share in kept if share)
    curve = tradeoff_figure([(0.4, 98.0), (0.2, 97.0)], budget=0.2)
    assert list(curve.axes[0].lines[0].get_xdata()) == [0.4, 0.2]
    for figure, name in ((drawn, "a.png"), (curve, "b.png")):
        figure.savefig(tmp_path / name)
        with Image.open(tmp_path / name) as image:
            assert image.size[0] > 300


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-extensions",
    "--no-pings",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # nothing leaves this machine
    "--window-size=1200,2400",
]
BROWSERS_OWN = "not an origin"
"""The initiator that Chromium's log of the network gives to what no page asked for."""


def _browse(page, folder, *flags):
    """A screenshot of a page, and the addresses the page asked for.

    A browser also asks for things of its own (the time, its updates, a dictionary), and for
    others with every version. Its log of the network says of each request who initiated it, so
    only those of a page count.
    """
    shot, log = folder / "shot.png", folder / "net.json"
    command = [
        CHROMIUM,
        *FLAGS,
        f"--user-data-dir={folder / 'profile'}",
        f"--log-net-log={log}",
        f"--screenshot={shot}",
        *flags,
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert shot.is_file(), done.stderr[-2000:]
    with Image.open(shot) as image:
        picture = image.convert("RGB")
    logged = json.loads(log.read_text(encoding="utf-8"))
    started = logged["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    begun = (e.get("params", {}) for e in logged["events"] if e["type"] == started)
    asked = [r["url"] for r in begun if "url" in r and r["initiator"] != BROWSERS_OWN]
    return picture, asked


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (Debian package chromium)")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_real_browser_shows_it_without_a_network(tmp_path, theme):
    _run(tmp_path / "run")
    out = write_report([tmp_path / "run"], tmp_path / "report.html")
    picture, asked = _browse(out, tmp_path, *["--force-dark-mode"] * (theme == "dark"))
    assert asked == []
    corner = sum(picture.getpixel((4, 4)))
    assert corner > 600 if theme == "light" else corner < 150
    colours = picture.getcolors(1 << 20)
    bars = (0x0A, 0x66, 0xB0) if theme == "light" else (0x58, 0xB1, 0xF2)
    assert bars in {colour for count, colour in colours if count > 400}, "no bars are drawn"
    assert len(colours) > 100


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (Debian package chromium)")
def test_the_check_for_requests_sees_one_and_the_policy_stops_it(tmp_path):
    _run(tmp_path / "run")
    out = write_report([tmp_path / "run"], tmp_path / "report.html")
    page = out.read_text(encoding="utf-8")
    page = page.replace("<h1>", '<img src="http://elsewhere.invalid/x.png"><h1>', 1)
    out.write_text(page, encoding="utf-8")
    assert _browse(out, tmp_path)[1] == [], "the page's own policy refuses what slips in"
    out.write_text(page.replace("Content-Security-Policy", "x-none"), encoding="utf-8")
    assert _browse(out, tmp_path)[1] == ["http://elsewhere.invalid/x.png"]
