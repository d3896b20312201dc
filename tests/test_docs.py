"""What the root's pages and docs mention exists: links, make targets, options, names, paths, tests; and formulas hold.

A block headed `python run` is executed (the blocks of one page share a namespace), every other Python block is parsed.
"""

import ast
import dataclasses
import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

import widthwise as ww
from widthwise.cli import app
from widthwise.comparison import Row
from widthwise.posterior import Certificate, Posterior, Prediction, Prepared, Scan, Score, Validity
from widthwise.sampling import Samples

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```(.*?)\n(.*?)^```", re.M | re.S)
FIELDS = {
    "certificate": Certificate,
    "posterior": Posterior,
    "prediction": Prediction,
    "prepared": Prepared,
    "row": Row,
    "samples": Samples,
    "Scan": Scan,
    "score": Score,
    "validity": Validity,
}
FOLDERS = "src|tests|docs|bench|examples"


def prose(text: str) -> str:
    return FENCE.sub("", text)


def spans(text: str) -> list[str]:
    """Inline code, wherever a line breaks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]


def commands(text: str) -> list[str]:
    """Inline code and the lines of fenced blocks, continued lines joined, without prompt or comment."""
    lines = [line for _, body in FENCE.findall(text) for line in body.replace("\\\n", " ").splitlines()]
    return [re.sub(r"\s#.*", "", line).strip().removeprefix("$ ") for line in lines] + spans(text)


def anchors(path: Path) -> set[str]:
    """GitHub's names of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(path.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def written_by_make() -> set[str]:
    """Pages that a target of the Makefile makes: they may be missing."""
    return set(re.findall(r"--write (\S+)", (ROOT / "Makefile").read_text()))


def broken_links(path: Path) -> list[str]:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose(path.read_text()))):
        name, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (path.parent / name).resolve() if name else path
        missing = not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target))
        if missing and not (target.is_relative_to(ROOT) and str(target.relative_to(ROOT)) in written_by_make()):
            broken.append(link)
    return broken


def unknown_targets(text: str) -> list[str]:
    known = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
    said = [word for line in commands(text) if line.startswith("make ") for word in line.split()[1:]]
    return [word for word in said if re.fullmatch(r"[a-z][a-z-]*", word) and word not in known]


def options() -> dict[str, set[str]]:
    """Every option of the command line, by command; "" holds those before a command."""
    group = typer.main.get_command(app)
    each = {"": group, **group.commands}
    return {
        name: {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
        for name, command in each.items()
    }


def unknown_options(text: str) -> list[str]:
    known, wrong = options(), []
    for line in commands(text):
        if re.fullmatch(r"--[a-z][a-z-]*( \S+)?", line):  # an option by itself
            wrong += [line] if line.split()[0] not in set.union(*known.values()) else []
        if not re.match(r"(\S*/)?widthwise( [a-z-]|$)", line):
            continue
        words = shlex.split(line.replace("…", ""))[1:]
        command = next((word for word in words if not word.startswith("-")), "")
        if command not in known:
            wrong.append(line)
            continue
        wrong += [f"{command} {w}" for w in words if w.startswith("--") and w.split("=")[0] not in known[command]]
    return wrong


def resolves(dotted: str) -> bool:
    """Whether a.b.c is a module, or an attribute of one."""
    parts = dotted.split(".")
    for i in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def unknown_names(text: str) -> list[str]:
    code = "\n".join([*(body for _, body in FENCE.findall(text)), *spans(text)])
    names = {"widthwise" + name for name in re.findall(r"\bww((?:\.[A-Za-z_]\w*)+)", code)}
    names |= set(re.findall(r"\bwidthwise(?:\.[A-Za-z_]\w*)+", code))
    wrong = sorted(name for name in names if not resolves(name))
    for owner, field in set(re.findall(r"\b(\w+)\.([a-z_]\w*)", code)):
        if owner in FIELDS:
            cls = FIELDS[owner]
            known = hasattr(cls, field) or field in {f.name for f in dataclasses.fields(cls)}
            if not known and not resolves(f"widthwise.{owner}.{field}"):  # a room and its module look the same
                wrong.append(f"{owner}.{field}")
    return wrong


def missing_paths(text: str) -> list[str]:
    said = {word for line in spans(text) for word in re.findall(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*", line)}
    return sorted(path for path in said - written_by_make() if not (ROOT / path.rstrip(".")).exists())


def unknown_tests(text: str) -> list[str]:
    defined = {n for f in (ROOT / "tests").rglob("test_*.py") for n in re.findall(r"def (test_\w+)", f.read_text())}
    return [span for span in spans(text) if re.fullmatch(r"test_\w+_\w+", span) and span not in defined]


CHECKS = {
    "targets": unknown_targets,
    "options": unknown_options,
    "names": unknown_names,
    "paths": missing_paths,
    "tests": unknown_tests,
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_relative_links_resolve(path):
    assert broken_links(path) == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
@pytest.mark.parametrize("check", CHECKS)
def test_what_a_page_mentions_exists(path, check):
    assert CHECKS[check](path.read_text()) == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_python_blocks_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for heading, body in FENCE.findall(path.read_text()):
        words = heading.split()
        if words[:1] == ["python"]:
            ast.parse(body)
        if words == ["python", "run"]:
            exec(compile(body, name_of(path), "exec"), namespace)


def test_the_pages_are_there():
    names = {name_of(path) for path in PAGES}
    assert {"VISION.md", "CONTRIBUTING.md", "docs/notation.md", "docs/theory.md", "docs/house.md"} <= names
    assert len((ROOT / "VISION.md").read_text().splitlines()) == 3


def test_every_room_is_in_the_house():
    text = (ROOT / "docs" / "house.md").read_text()
    rooms = {p.name for p in (ROOT / "src/widthwise").iterdir() if not p.name.startswith("__pycache__")}
    named = rooms - {"py.typed"}
    assert sorted(name for name in named if not re.search(rf"^  {re.escape(name)}\b", text, re.M)) == []


def test_every_contract_is_in_the_house():
    text = (ROOT / "docs" / "house.md").read_text()
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert len(contracts) >= 4
    assert [contract["name"] for contract in contracts if f"| {contract['name']} |" not in text] == []


@pytest.mark.parametrize(
    ("check", "wrong", "right"),
    [
        ("targets", "run `make brunch`", "run `make bench`; make do with it"),
        ("targets", "```sh\n$ make tests\n```", "```sh\n$ make test  # all\n```"),
        ("options", "`widthwise predict digits --withd 3`", "`widthwise predict digits --width 3`"),
        ("options", "```\nwidthwise predict \\\n  --draws 3\n```", "```\nwidthwise verify \\\n  --draws 3\n```"),
        ("options", "`widthwise predicts digits`", "`widthwise --version`"),
        ("options", "pass `--jsn OUT`", "pass `--json OUT`"),
        ("names", "`ww.infr(network)`", "`ww.infer(network)`"),
        ("names", "```python\nwidthwise.posterior.Postr\n```", "`widthwise.posterior.Posterior`"),
        ("names", "`posterior.order_parameter`", "`posterior.order_parameters['Q']`, `samples.train_mean`"),
        ("paths", "see `docs/theroy.md`", "see `docs/theory.md` and `src/`"),
        ("tests", "`test_that_is_not_there`", "`test_every_public_name_resolves`"),
    ],
)
def test_the_checks_see_what_is_wrong(check, wrong, right):
    assert CHECKS[check](wrong)
    assert CHECKS[check](right) == []


def test_broken_links_are_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One: a `b`\n[x](none.md) [y](#one-a-b) [z](#two) [w](https://example.org) `[v](no)` [u](page.md#one-a-b)"
    )
    assert broken_links(page) == ["none.md", "#two"]


def test_public_names_of_the_notation_table():
    """Code names of the table that are public arguments or fields exist under that name."""
    text = (ROOT / "docs" / "notation.md").read_text()
    for name in ("widths", "weight_precisions", "bias_variance", "activation", "depth"):
        assert f"`{name}" in text
        assert hasattr(ww.FullyConnected([3]), name)
