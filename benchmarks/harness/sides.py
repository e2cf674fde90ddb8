"""The sides: how each is started, what it is sent, and how its replies are read."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.install import Peer, clean_environment, model_variables
from plain.plain_model import COLUMNS, LABELS

from harness.processes import Command

HERE = Path(__file__).parent.parent
TRIAGE_APP, PLAIN_APP = HERE.parent / "apps/order_triage", HERE / "plain"
JSON, CSV = "application/json", "text/csv"
KERNEL, GTIL = "kernel", "gtil"  # what scores trees
NGINX_VALUES: dict[str, Any] = {  # as `scoreline serve` fills in its template
    "host": "127.0.0.1",
    "timeout_s": 60,
    "max_body_mb": 6,
    "log_level": "error",
    "logged": "failed",
    "operator_routes": ["/generations"],
}


@dataclass(frozen=True)
class Reply:
    """What a server answered to one record, in the words of the corpus; None where it does not say."""

    label: str | None
    probabilities: tuple[float, ...] | None = None
    content: Any = None


@dataclass(frozen=True)
class Place:
    """Where a side runs.

    Attributes
    ----------
    run : an empty folder for its sockets and logs
    model : what `plain/train.py` wrote
    triage : order triage with its million orders
    peer : the side's own environment, where it has one
    """

    port: int
    workers: int
    run: Path
    model: Path
    triage: Path
    peer: Peer | None = None


@dataclass(frozen=True)
class Body:
    """How a body is made of a line of the records' file.

    Attributes
    ----------
    form : ending of the file: `json`, `keyed`, `values`, `csv` or `keys`
    """

    path: str
    form: str
    before: str = ""
    after: str = ""
    content_type: str = JSON


@dataclass(frozen=True)
class Side:
    """One of those that are measured.

    Attributes
    ----------
    kind : `floor` (does nothing), `ours`, `peer` (as it is documented) or `tuned` (by hand)
    corpus : `plain`, `triage`, or None where there is nothing to be right about
    read : a body -> its replies
    peer : name of its environment under `peers/`
    listed : the body of a list of a thousand; None where lists are not measured
    """

    name: str
    title: str
    kind: str
    start: Callable[[Place], list[Command]]
    single: Body
    read: Callable[[bytes], list[Reply]]
    corpus: str | None = "plain"
    peer: str | None = None
    listed: Body | None = None


# How replies are read


def read_nothing(body: bytes) -> list[Reply]:
    return [Reply(None, content=json.loads(body))]


def read_triage(body: bytes) -> list[Reply]:
    content = json.loads(body)
    return [Reply(None, content=item) for item in (content if isinstance(content, list) else [content])]


def read_scoreline(body: bytes) -> list[Reply]:
    """Read the plain app's replies; its probabilities may be a list in the order of the classes, or an object."""
    content = json.loads(body)
    replies = []
    for item in content if isinstance(content, list) else [content]:
        found = item["probabilities"]
        values = [found[label] for label in LABELS] if isinstance(found, dict) else found
        replies.append(Reply(item["recommendation"], tuple(values)))
    return replies


def read_labelled(body: bytes) -> list[Reply]:
    content = json.loads(body)
    return [
        Reply(LABELS[item["label"]], tuple(item["probabilities"]))
        for item in (content if isinstance(content, list) else [content])
    ]


def read_matrix(*names: str) -> Callable[[bytes], list[Reply]]:
    """Read replies that are rows of probabilities, below these names; the likeliest class is the label."""

    def read(body: bytes) -> list[Reply]:
        content = json.loads(body)
        for name in names:
            content = content[name]
        return [_likeliest(row) for row in content]

    return read


def read_v2(body: bytes) -> list[Reply]:
    """Read an answer of the Open Inference Protocol: a flat tensor."""
    flat = json.loads(body)["outputs"][0]["data"]
    return [_likeliest(flat[start : start + len(LABELS)]) for start in range(0, len(flat), len(LABELS))]


def read_csv(body: bytes) -> list[Reply]:
    rows = csv.reader(io.StringIO(body.decode()))
    return [Reply(label, tuple(map(float, values))) for label, *values in rows]


def _likeliest(row: list[float]) -> Reply:
    return Reply(LABELS[row.index(max(row))], tuple(row))


# How they are started


def start_scoreline(
    app: Path, made: Callable[[Place], Path], worker_class: str = "asgi", runtime: str = KERNEL
) -> Callable[[Place], list[Command]]:
    """Return what starts `scoreline serve` of an app, with features and model made elsewhere."""

    def start(place: Place) -> list[Command]:
        arguments = [sys.executable, "-m", "scoreline", "serve", "--app", str(app), "--host", "127.0.0.1"]
        arguments += ["--port", str(place.port), "--workers", str(place.workers), "--worker-class", worker_class]
        return [Command([*arguments, *scoreline_folders(made(place))], scoreline_environment(runtime), place.run)]

    return start


def scoreline_folders(folder: Path) -> list[str]:
    """Return the options that keep all that Scoreline writes in one folder."""
    names = {"--data": "data", "--model-dir": "model", "--results": "results", "--state": "state"}
    return [part for option, name in names.items() for part in (option, str(folder / name))]


def scoreline_environment(runtime: str | None = None) -> dict[str, str]:
    """Return the environment that Scoreline runs in: that of this process, so that a checkout can be measured.

    Parameters
    ----------
    runtime : what scores trees, and nothing else: without a kernel its side must not run, rather than show
        the figures of GTIL under another name. None: the fastest that is there
    """
    path = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    return clean_environment() | path | ({"SCORELINE_RUNTIME": runtime} if runtime else {})


def start_empty(target: str, worker_class: str) -> Callable[[Place], list[Command]]:
    """Return what starts an empty handler with the nginx and gunicorn configurations that `scoreline serve` uses."""

    def start(place: Place) -> list[Command]:
        from scoreline.serving.nginx import (
            FOREGROUND,
            find_nginx,
            prepare_nginx,
            render_configuration,
            unprivileged_user,
        )
        from scoreline.serving.plan import socket_paths

        sockets = [str(path) for path in socket_paths(place.run, worker_class, place.workers)]
        varying = {"run_dir": place.run, "port": place.port, "user": unprivileged_user()}
        varying |= {"request_log": str(place.run / "requests")}
        varying |= {"sockets": sockets, "keeps_alive": worker_class == "asgi"}
        varying |= {"nginx_workers": 1 + place.workers // 4}
        configuration = place.run / "nginx.conf"
        configuration.write_text(render_configuration(place.run, **NGINX_VALUES, **varying))
        nginx = [find_nginx(), "-e", "stderr", "-g", FOREGROUND, "-p", str(place.run), "-c", str(configuration)]
        more = {
            "SCORELINE_RUN_DIR": str(place.run),
            "SCORELINE_WORKER_CLASS": worker_class,
            "SAGEMAKER_CONTAINER_LOG_LEVEL": "warning",
            "MODEL_SERVER_WORKERS": str(place.workers),
            "MODEL_SERVER_TIMEOUT": str(NGINX_VALUES["timeout_s"]),
        }
        gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:scoreline.serving.gunicorn_conf", target]
        return [
            Command(gunicorn, scoreline_environment() | more, HERE / "empty"),
            Command(nginx, clean_environment(), place.run, prepare_nginx),
        ]

    return start


def start_skeleton(place: Place) -> list[Command]:
    """Return nginx and gunicorn with gevent workers, as the copied skeleton's `serve` starts them."""
    from scoreline.serving.nginx import find_nginx, unprivileged_user

    folder = HERE / "peers/skeleton"
    text = (folder / "nginx.conf.template").read_text()
    for name, value in {"run_dir": place.run, "host": "127.0.0.1", "port": place.port}.items():
        text = text.replace(f"{{{{ {name} }}}}", str(value))
    user = unprivileged_user()
    (place.run / "nginx.conf").write_text(f"user {user};\n{text}" if user else text)
    nginx = [find_nginx(), "-e", "stderr", "-p", str(place.run), "-c", str(place.run / "nginx.conf")]
    gunicorn = ["gunicorn", "--timeout", "60", "-k", "gevent", "-b", f"unix:{place.run}/app.sock", "-w"]
    return [
        _of_peer(place, folder, *gunicorn, str(place.workers), "--no-control-socket", "wsgi:app"),
        Command(nginx, clean_environment(), place.run),
    ]


def start_uvicorn(folder: str, target: str) -> Callable[[Place], list[Command]]:
    def start(place: Place) -> list[Command]:
        at = ["--host", "127.0.0.1", "--port", str(place.port), "--workers", str(place.workers)]
        return [_of_peer(place, HERE / "peers" / folder, "uvicorn", target, *at, "--log-level", "warning")]

    return start


def start_litserve(place: Place) -> list[Command]:
    return [_of_peer(place, HERE / "peers/litserve", "python", "server.py", str(place.port), str(place.workers))]


def start_bentoml(place: Place) -> list[Command]:
    arguments = ["bentoml", "serve", "service:Plain", "--host", "127.0.0.1", "--port", str(place.port)]
    more = {"PLAIN_WORKERS": str(place.workers), "BENTOML_HOME": str(place.run / "home")}
    return [_of_peer(place, HERE / "peers/bentoml", *arguments, more=more)]


def start_mlflow(place: Place) -> list[Command]:
    assert place.peer is not None
    arguments = ["mlflow", "models", "serve", "-m", str(place.peer.prepared / "model"), "--env-manager", "local"]
    at = ["-h", "127.0.0.1", "-p", str(place.port), "-w", str(place.workers)]
    return [_of_peer(place, place.run, *arguments, *at, more={"UVICORN_LOG_LEVEL": "warning"})]


def start_mlserver(place: Place) -> list[Command]:
    assert place.peer is not None
    more = {
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(place.port),
        "MLSERVER_GRPC_PORT": str(free_port()),
        "MLSERVER_METRICS_PORT": str(free_port()),
        "MLSERVER_PARALLEL_WORKERS": str(place.workers),
        "MLSERVER_METRICS_DIR": str(place.run),
        "MLSERVER_DEBUG": "false",
    }
    return [_of_peer(place, place.run, "mlserver", "start", str(place.peer.prepared), more=more)]


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _of_peer(place: Place, folder: Path, program: str, *arguments: str, more: dict[str, str] | None = None) -> Command:
    assert place.peer is not None
    environment = clean_environment() | model_variables(place.model, place.peer.prepared) | (more or {})
    environment["PATH"] = f"{place.peer.bin}{os.pathsep}{environment.get('PATH', '')}"
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # the peers' files lie in the repository
    return Command([str(place.peer.bin / program), *arguments], environment, folder)


_KEYS = Body("/invocations", "keys")
_SPLIT = '{"dataframe_split":{"columns":' + json.dumps(COLUMNS) + ',"data":[['
_V2 = '{{"inputs":[{{"name":"rows","shape":[{},4],"datatype":"FP64","data":[['
_V2_END = ']]}],"outputs":[{"name":"predict_proba"}]}'


def _two(path: str, form: str, before: str = "", after: str = "", content_type: str = JSON) -> dict[str, Body]:
    """Return a body for a record and for a list that differ in the file alone."""
    body = Body(path, form, before, after, content_type)
    return {"single": body, "listed": body}


SIDES = (
    Side(
        "empty-flask",
        "empty Flask handler, gunicorn sync",
        "floor",
        start_empty("flask_app:app", "sync"),
        _KEYS,
        read_nothing,
        None,
    ),
    Side(
        "empty-asgi",
        "empty ASGI callable, gunicorn asgi",
        "floor",
        start_empty("asgi_app:app", "asgi"),
        _KEYS,
        read_nothing,
        None,
    ),
    Side(
        "triage",
        "Scoreline, order triage by key",
        "ours",
        start_scoreline(TRIAGE_APP, lambda place: place.triage),
        _KEYS,
        read_triage,
        "triage",
        listed=Body("/invocations", "keys", "[", "]"),
    ),
    Side(
        "triage-flask",
        "Scoreline, order triage by key, Flask on gunicorn sync",
        "ours",
        start_scoreline(TRIAGE_APP, lambda place: place.triage, "sync"),
        _KEYS,
        read_triage,
        "triage",
        listed=Body("/invocations", "keys", "[", "]"),
    ),
    Side(
        "triage-gtil",
        "Scoreline, order triage by key, trees by GTIL",
        "ours",
        start_scoreline(TRIAGE_APP, lambda place: place.triage, runtime=GTIL),
        _KEYS,
        read_triage,
        "triage",
        listed=Body("/invocations", "keys", "[", "]"),
    ),
    Side(
        "plain",
        "Scoreline, plain model",
        "ours",
        start_scoreline(PLAIN_APP, lambda place: place.model),
        Body("/invocations", "keyed"),
        read_scoreline,
        listed=Body("/invocations", "keyed", "[", "]"),
    ),
    Side(
        "plain-gtil",
        "Scoreline, plain model, trees by GTIL",
        "ours",
        start_scoreline(PLAIN_APP, lambda place: place.model, runtime=GTIL),
        Body("/invocations", "keyed"),
        read_scoreline,
        listed=Body("/invocations", "keyed", "[", "]"),
    ),
    Side(
        "skeleton",
        "copied skeleton: nginx, gunicorn gevent, Flask, pandas",
        "peer",
        start_skeleton,
        read=read_csv,
        peer="skeleton",
        **_two("/invocations", "csv", content_type=CSV),
    ),
    Side(
        "mlflow",
        "MLflow, `mlflow models serve`",
        "peer",
        start_mlflow,
        read=read_matrix("predictions"),
        peer="mlflow",
        **_two("/invocations", "values", _SPLIT, "]]}}"),
    ),
    Side(
        "mlserver",
        "MLServer, parallel workers",
        "peer",
        start_mlserver,
        Body("/v2/models/plain/infer", "values", _V2.format(1), _V2_END),
        read_v2,
        peer="mlserver",
        listed=Body("/v2/models/plain/infer", "values", _V2.format(1000), _V2_END),
    ),
    Side(
        "bentoml",
        "BentoML",
        "peer",
        start_bentoml,
        read=read_matrix(),
        peer="bentoml",
        **_two("/each", "values", '{"rows":[[', "]]}"),
    ),
    Side(
        "bentoml-batching",
        "BentoML, adaptive batching",
        "peer",
        start_bentoml,
        read=read_matrix(),
        peer="bentoml",
        **_two("/batched", "values", '{"rows":[[', "]]}"),
    ),
    Side(
        "litserve",
        "LitServe",
        "peer",
        start_litserve,
        read=read_matrix("probabilities"),
        peer="litserve",
        **_two("/predict", "json", '{"records":[', "]}"),
    ),
    Side(
        "vetiver",
        "vetiver on uvicorn",
        "peer",
        start_uvicorn("vetiver", "app:api"),
        read=read_matrix("probabilities"),
        peer="vetiver",
        **_two("/probabilities", "json", "[", "]"),
    ),
    Side(
        "fastapi",
        "FastAPI + scikit-learn",
        "peer",
        start_uvicorn("fastapi", "main:app"),
        Body("/invocations", "json"),
        read_labelled,
        peer="fastapi",
        listed=Body("/invocations/list", "json", "[", "]"),
    ),
    Side(
        "onnx",
        "FastAPI + ONNX Runtime, tuned by hand",
        "tuned",
        start_uvicorn("onnx", "main:app"),
        Body("/invocations", "json"),
        read_labelled,
        peer="onnx",
        listed=Body("/invocations", "json", "[", "]"),
    ),
)
