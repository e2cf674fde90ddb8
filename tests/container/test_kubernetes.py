"""deploy/kubernetes/scoreline.yaml: held against the schemas of Kubernetes, and against what the server does.

A kubelet can't be had here. What it would do with the pod's user, rights and limits, docker does in the last test.
"""

from __future__ import annotations

import copy
import re
from concurrent.futures import ThreadPoolExecutor

import kubernetes_validate
import pytest
import yaml
from images import ROOT, Container, docker
from servers import keys_of

from scoreline.errors import SettingError
from scoreline.serving.plan import plan_workers
from scoreline.serving.supervisor import DRAIN_S
from scoreline.settings import resolve_settings

FILE = ROOT / "deploy/kubernetes/scoreline.yaml"
VERSIONS = ("1.30", kubernetes_validate.latest_version())
DEPLOYMENT, SERVICE = yaml.safe_load_all(FILE.read_text())
TEMPLATE = DEPLOYMENT["spec"]["template"]
POD = TEMPLATE["spec"]
(CONTAINER,) = POD["containers"]
CONTAINER_PATH = ("spec", "template", "spec", "containers", 0)
REPLACED_WITHIN_S = 6  # how long /ping is 503 for a worker that gunicorn has to end, by docs/serving.md
END_S = 2  # what `serve` takes beside DRAIN_S: within 27 s all has ended


def changed(*path, name=None, value=None):
    """Return the Deployment with a field at `path` under another name, or with another value."""
    found = copy.deepcopy(DEPLOYMENT)
    place = found
    for step in path[:-1]:
        place = place[step]
    was = place.pop(path[-1])
    place[name or path[-1]] = was if value is None else value
    return found


def mebibytes(quantity):
    """Return a quantity of memory in MiB.

    >>> mebibytes("768Mi"), mebibytes("1Gi")
    (768, 1024)
    """
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("part", [DEPLOYMENT, SERVICE], ids=["Deployment", "Service"])
def test_kubernetes_takes_it(part, version):
    kubernetes_validate.validate(part, version, strict=True)


@pytest.mark.parametrize(
    ("path", "change", "says"),
    [
        ((*CONTAINER_PATH, "livenessProbe"), {"name": "livenessProb"}, "livenessProb"),
        ((*CONTAINER_PATH, "resources", "limits"), {"name": "limit"}, "limit"),
        ((*CONTAINER_PATH, "securityContext", "readOnlyRootFilesystem"), {"name": "readOnlyRoot"}, "readOnlyRoot"),
        (("spec", "template", "spec", "terminationGracePeriodSeconds"), {"name": "gracePeriod"}, "gracePeriod"),
        (("spec", "replicas"), {"value": "two"}, "two"),
        ((*CONTAINER_PATH, "ports", 0, "containerPort"), {"value": "8080"}, "8080"),
    ],
)
def test_a_misspelt_field_or_a_value_of_another_type_is_refused(path, change, says):
    with pytest.raises(kubernetes_validate.ValidationError, match=says):
        kubernetes_validate.validate(changed(*path, **change), VERSIONS[0], strict=True)


def test_the_service_leads_to_the_pods():
    labels = TEMPLATE["metadata"]["labels"].items()
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"].items() <= labels
    assert SERVICE["spec"]["selector"].items() <= labels
    (listened,), (called,) = CONTAINER["ports"], SERVICE["spec"]["ports"]
    assert listened["containerPort"] == called["port"] == resolve_settings({}, {}).port
    assert called["targetPort"] == listened["name"]


def test_a_service_of_that_name_can_not_set_the_port():
    """Kubernetes would set NAME_PORT for each Service, as links of docker did of old."""
    variable = f"{SERVICE['metadata']['name'].upper()}_PORT"
    with pytest.raises(SettingError, match=f"{variable}='tcp://10.0.0.1:8080'"):
        resolve_settings({}, {variable: "tcp://10.0.0.1:8080"})
    assert POD["enableServiceLinks"] is False


def test_the_cpu_limit_is_the_number_of_workers(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(64)))  # a node is larger than its pods
    limit = int(CONTAINER["resources"]["limits"]["cpu"])
    (tmp_path / "cpu.max").write_text(f"{limit * 100_000} 100000\n")  # what a kubelet makes of it
    assert plan_workers(None, tmp_path).workers == limit
    names = {variable["name"] for variable in CONTAINER.get("env", [])}
    assert "MODEL_SERVER_WORKERS" not in names


def test_what_it_is_given_is_asked_for_in_full():
    assert CONTAINER["resources"]["requests"] == CONTAINER["resources"]["limits"]


def test_it_ends_by_itself_before_it_is_killed():
    _, sleeps = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    assert POD["terminationGracePeriodSeconds"] >= int(sleeps) + DRAIN_S + END_S


@pytest.mark.parametrize("name", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_every_probe_asks_for_ping(name):
    assert CONTAINER[name]["httpGet"] == {"path": "/ping", "port": CONTAINER["ports"][0]["name"]}
    assert CONTAINER[name]["timeoutSeconds"] > 2  # nginx's own patience with /ping: it says 503 rather than nothing


def test_a_worker_that_is_replaced_is_no_reason_to_kill_the_pod():
    probe = CONTAINER["livenessProbe"]
    assert probe["periodSeconds"] * (probe["failureThreshold"] - 1) > 5 * REPLACED_WITHIN_S


def test_the_user_is_the_images_own_and_has_no_rights():
    (uid,) = re.findall(r"useradd .*--uid (\d+)", (ROOT / "Dockerfile").read_text())
    context = POD["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, int(uid))
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in CONTAINER["volumeMounts"]] == ["/tmp"]


def as_docker_runs_it():
    """Return the options of `docker run` that come to what the pod says."""
    context, limits = POD["securityContext"], CONTAINER["resources"]["limits"]
    memory = f"{mebibytes(limits['memory'])}m"
    (volume,) = POD["volumes"]
    return [
        "--user", f"{context['runAsUser']}:{context['runAsGroup']}",
        "--read-only", "--tmpfs", f"/tmp:size={mebibytes(volume['emptyDir']['sizeLimit'])}m",
        "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--cpus", limits["cpu"], "--memory", memory, "--memory-swap", memory,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.needs("docker")
def test_the_image_serves_the_largest_bodies_within_what_the_pod_has(triage_image):
    pod = Container(triage_image, *as_docker_runs_it(), command=CONTAINER["args"])
    with pod as container, ThreadPoolExecutor(4) as threads:
        container.wait_until_ready()
        assert f"; {CONTAINER['resources']['limits']['cpu']} workers (" in container.logs
        largest = keys_of(ROOT / "apps/order_triage") * 27  # just under 6 MiB
        replies = [threads.submit(container.ask, "/invocations", largest) for _ in range(4)]
        pings = []
        while not all(reply.done() for reply in replies):
            pings.append(container.ask("/ping")[0])
        assert [reply.result()[0] for reply in replies] == [200] * 4
        assert set(pings) == {200}  # busy is not ill: no probe fails
        assert docker("inspect", "-f", "{{.State.OOMKilled}}", container.id).stdout.strip() == "false"
        assert container.inside(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][0], "0") == ""
        docker("stop", "-t", str(POD["terminationGracePeriodSeconds"]), container.id)
        assert container.exit_code == 0
