"""Nothing runs or loads code that it should not, reaches for a network, or names a machine."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from halfulp.dtypes.jit import cache_folder
from tests.tree import ROOT, product_files, project_files, text_of

CODE = [
    *product_files(),
    *(path for path in sorted((ROOT / "benchmarks").rglob("*.py")) if path in project_files()),
]

# a vocabulary has every word
TEXTS = [p for p in project_files() if p.name != "tokenizer.json" and text_of(p) is not None]

#: Modules whose files can hold code.
PICKLES = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}
FORBIDDEN = {
    *("eval", "exec", "compile", "__import__", "torch.load", "torch.save", "torch.hub.load"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("yaml.load", "yaml.unsafe_load", "numpy.core.defchararray.loads", "tempfile.mktemp"),
}
#: Keywords that must be the constant False wherever they are given.
FALSE_ONLY = {"allow_pickle", "shell", "trust_remote_code"}

#: Hosts that the project may name. Those of package indexes change from place to place.
HOSTS = {"www.apache.org", "keepachangelog.com", "semver.org"}
HOST = re.compile(r"\b(?:[a-z0-9-]+\.)+(?:org|com|net|io|dev|ai|cloud)\b(?!\()", re.I)
#: Where people and machines keep their own files.
PLACE = re.compile(
    r"(?<![\w.~$}/-])/(?:home|root|work|workspace|Users|mnt|opt|srv|private|tmp)/\w"
    r"|\b[A-Z]:\\\w"
)

WATCH = """
import json, sys
LOADERS = ("_load_index", "_load_data")
seen = {"kernels": [], "pickles": [], "network": []}

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "urllib.Request"):
        seen["network"].append(f"{event} {arguments[1:]}")
    if event != "pickle.find_class":
        return
    frame, stack = sys._getframe(1), []
    while frame is not None:
        code, owner = frame.f_code, frame.f_locals.get("self")
        stack.append(f"{code.co_filename}:{code.co_name}")
        if code.co_name in LOADERS and type(owner).__module__ == "numba.core.caching":
            seen["kernels"].append(owner._cache_path)
            return
        frame = frame.f_back
    seen["pickles"].append(stack[:8])

sys.addaudithook(watch)
"""
REPORT = """
print("\\n" + json.dumps(seen))
"""
FORWARD = """
import torch, transformers
from halfulp.engines import NEURONCORE_V2
from halfulp.quant import emulate, named_policy
config = transformers.BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
model = transformers.BertModel(config).eval()
with emulate(model, NEURONCORE_V2, named_policy("e4m3-matmult-scaled")):
    model(torch.randint(100, (1, 8)))
"""
SWEEP = (
    *("sweep", "--model", "electra", "--samples", "4", "--policy", "bf16-matmult"),
    *("--chip", "inferentia2", "--store", "cells.sqlite"),
    *("--json", "sweep.json", "--csv", "sweep.csv", "--png", "sweep.png"),
)
COMMANDS = """
from halfulp.study.cli import main
for words in json.loads({commands!r}):
    sys.argv = ["halfulp", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (words, end.code)
"""


def _names(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for, in full."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _full(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_full(node.value, names)}.{node.attr}"
    return ""


def faults(source: str) -> list[str]:
    """Calls and imports that could run code from a file, or a shell."""
    tree = ast.parse(source)
    names = _names(tree)
    found = [f"import {name}" for name in names.values() if name.partition(".")[0] in PICKLES]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        full, keywords = _full(node.func, names), {k.arg: k.value for k in node.keywords}
        if full.removeprefix("builtins.") in FORBIDDEN:
            found.append(full)
        if full == "numpy.load" and "allow_pickle" not in keywords:
            found.append("numpy.load without allow_pickle=False")
        for word in FALSE_ONLY & set(keywords):
            value = keywords[word]
            if not (isinstance(value, ast.Constant) and value.value is False):
                found.append(f"{full}({word}=...)")
    return found


def _watched(script: str, folder: Path) -> dict[str, list[str]]:
    """What the audit hook saw while a fresh interpreter ran the script in the folder."""
    done = subprocess.run(
        [sys.executable, "-c", WATCH + script + REPORT], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return seen


def _commands(*commands: tuple[str, ...]) -> str:
    return COMMANDS.format(commands=json.dumps(commands))


@pytest.mark.parametrize("file", CODE, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_the_product_neither_unpickles_nor_evaluates(file: Path) -> None:
    assert faults(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads as read",
        "def f():\n    import marshal",
        "import torch as t\nt.load('x')",
        "from torch import load\nload('x')",
        "eval('1')",
        "import builtins\nbuiltins.exec('1')",
        "import numpy as np\nnp.load('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=flag)",
        "import subprocess\nsubprocess.run('x', shell=True)",
        "import transformers as h\nh.AutoModel.from_pretrained('x', trust_remote_code=True)",
        "import os\nos.system('x')",
    ],
)
def test_a_dangerous_line_is_found(line: str) -> None:
    assert faults(line) != []


@pytest.mark.parametrize(
    "line",
    [
        "model.eval()",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "import json\njson.load(file)",
        "import re\nre.compile('x')",
        "import subprocess\nsubprocess.run(['x'])",
    ],
)
def test_a_harmless_line_passes(line: str) -> None:
    assert faults(line) == []


@pytest.mark.parametrize("file", TEXTS, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_no_file_names_a_foreign_host_or_a_place_of_one_machine(file: Path) -> None:
    text = text_of(file)
    assert text is not None
    assert {host.lower() for host in HOST.findall(text)} - HOSTS == set()
    assert [match.group() for match in PLACE.finditer(text)] == []


def test_a_host_and_a_place_are_found() -> None:
    for name in ("packages", "files.host", "a-b.c"):
        assert HOST.findall(f"see https://{name}.org/simple or {name}.io")
    for folder in ("home", "root", "opt", "Users"):
        assert PLACE.search(f"cd /{folder}/someone")
    assert PLACE.search("C:" + "\\Users")
    assert not PLACE.search("usr/share/wordnet, /usr/bin/env, /proc/cpuinfo, study/data/home/x")


def test_the_hook_sees_a_foreign_pickle(tmp_path: Path) -> None:
    script = "import pickle, pathlib\npickle.loads(pickle.dumps(pathlib.PurePosixPath('x')))\n"
    assert _watched(script, tmp_path)["pickles"]


def test_the_hook_sees_a_connection(tmp_path: Path) -> None:
    script = "import socket\ntry:\n    socket.create_connection(('127.0.0.1', 9), 1)\n"
    assert _watched(f"{script}except OSError:\n    pass\n", tmp_path)["network"]


@pytest.mark.deep
def test_an_emulated_model_loads_no_pickle_but_its_kernels(tmp_path: Path) -> None:
    _watched(FORWARD, tmp_path)
    seen = _watched(FORWARD, tmp_path)  # now the kernels are in the cache, if there is one
    assert seen["pickles"] == []
    assert seen["network"] == []
    folder = cache_folder()
    assert bool(seen["kernels"]) == (folder is not None)
    assert all(Path(place).is_relative_to(folder) for place in seen["kernels"] if folder)


@pytest.mark.model
def test_a_sweep_loads_no_pickle_but_its_kernels_and_asks_no_network(tmp_path: Path) -> None:
    script = _commands(SWEEP, ("doctor",), ("policies",))
    seen = _watched(script, tmp_path)
    assert seen["pickles"] == []
    assert seen["network"] == []
    folder = cache_folder()
    assert all(folder and Path(place).is_relative_to(folder) for place in seen["kernels"])
    assert len(json.loads((tmp_path / "sweep.json").read_text(encoding="utf-8"))["rows"]) == 2


def _why_no_namespace() -> str | None:
    """Why this machine gives no empty network, or None when it does."""
    if shutil.which("unshare") is None:
        return "unshare is not installed"
    done = subprocess.run(["unshare", "-rn", "true"], capture_output=True, text=True)
    return done.stderr.strip() or "unshare -rn is not allowed" if done.returncode else None


@pytest.mark.model
@pytest.mark.deep
def test_a_sweep_runs_where_there_is_no_network(tmp_path: Path) -> None:
    reason = _why_no_namespace()
    if reason is not None:
        pytest.skip(reason)
    environment = {name: value for name, value in os.environ.items() if name[:3] != "HF_"}
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-m", "halfulp", *SWEEP],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} >= {"sweep.json", "sweep.csv", "sweep.png"}
    assert len(json.loads((tmp_path / "sweep.json").read_text(encoding="utf-8"))["rows"]) == 2


def test_the_kernel_cache_is_of_its_user_alone() -> None:
    folder = cache_folder()
    if folder is None:
        pytest.skip("no folder may be used here")
    about = folder.stat()
    assert about.st_mode & 0o077 == 0
    assert about.st_uid == os.getuid()
