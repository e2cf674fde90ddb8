"""What workers hold after many reloads: the published generation, and nothing of those before it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from approval import (
    applicant,
    ask_afresh,
    generation_of,
    refresh,
    scoreline_in_process,
    starting,
    wait_until_ready,
)
from servers import folders, wait_until

pytestmark = pytest.mark.slow
WARM_UP, RELOADS = 3, 10
MOST_GROWTH = 3 << 20  # bytes over ten reloads; a generation of approval odds that is not let go costs about 1 MB


def let_all_adopt(server, bodies):
    """Ask until each worker has had many requests, the first of which lets it adopt; return the generation."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: ask_afresh(server.port, body), bodies))
    ((status, generation),) = {(answer.status, generation_of(answer)) for answer in answers}
    assert status == 200
    return generation


def growth(server, reload):
    """Return by how many bytes each worker has grown over the reloads behind the warm-up."""
    wait_until(lambda: len(server.workers()) == 4, what="the fourth worker")

    def private():
        return {worker.pid: worker.memory_full_info().uss for worker in server.workers()}

    for number in range(1, WARM_UP + 1):
        reload(number)
    before = private()
    for number in range(WARM_UP + 1, WARM_UP + RELOADS + 1):
        reload(number)
    after = private()
    assert after.keys() == before.keys()  # nobody was replaced
    return {pid: after[pid] - before[pid] for pid in after}


def test_private_memory_is_flat_over_ten_reloads_of_reference_tables(start, catalogue):
    server = start(catalogue)
    everybody = [json.dumps(applicant(credit_score=score, top=1)).encode() for score in range(600, 632)]

    def reload(number):
        catalogue.put(number)
        answer = refresh(server)
        assert (answer.status, answer.json()["changed"]) == (200, True)
        assert let_all_adopt(server, everybody) == generation_of(answer)

    grown = growth(server, reload)
    print(grown)
    assert max(grown.values()) < MOST_GROWTH, grown


def test_private_memory_is_flat_over_ten_reloads_of_the_store_and_old_stores_are_let_go(stock, tmp_path):
    with starting(stock.app, tmp_path / "server", "--workers", "4") as server:
        wait_until_ready(server)

        def reload(number):
            stock.count(number)
            scoreline_in_process("feature", *folders(stock.app))
            scoreline_in_process("refresh", *folders(stock.app, state=server.state))
            generation = let_all_adopt(server, stock.bodies)
            assert generation.startswith(f"{number + 1}-")
            for worker in server.workers():
                stores = [mapped.path for mapped in worker.memory_maps() if "store.lmdb" in mapped.path]
                assert stores == [f"{server.state}/generations/{generation}/store.lmdb"]

        grown = growth(server, reload)
        print(grown)
    assert max(grown.values()) < MOST_GROWTH, grown
