"""What an aggregator was told about vendors at its start is in all that it answers."""

import json
from pathlib import Path
from typing import Any

import yaml
from plumbline.v1.insight_pb2 import AskRequest

from tests.unit.outputs.running import Running, Stream, agent, batch_now, run, running


async def asked(aggregator: Running, question: str) -> dict[str, Any]:
    response = await aggregator.insight.Ask(AskRequest(question=question))
    return dict(json.loads(response.answer_json))


async def paid(aggregator: Running) -> None:
    """alpha/web calls api.pay.test."""
    one, stream = agent(), Stream(aggregator.channel("agents"))
    await stream.greet(one.hello(0))
    await stream.bring(batch_now(one, requests=5))
    while not (await asked(aggregator, "thirdparties"))["third_parties"]:
        pass


def test_a_vendor_of_the_users_file_is_in_every_answer(tmp_path: Path) -> None:
    file = tmp_path / "vendors.yaml"
    file.write_text("pay.test: [Pay, payments]\n")

    async def test() -> None:
        async with running(tmp_path / "data", vendors=file, allowed_vendors=("Stripe",)) as aggregator:
            await paid(aggregator)
            (row,) = (await asked(aggregator, "thirdparties"))["third_parties"]
            assert (row["id"], row["vendor"], row["category"]) == ("api.pay.test", "Pay", "payments")
            (row,) = (await asked(aggregator, "vendors"))["vendors"]
            assert (row["id"], row["names"], row["requests"]) == ("Pay", ["api.pay.test"], 5)
            (finding,) = (await asked(aggregator, "drift"))["findings"]
            assert (finding["kind"], finding["subject"], finding["object"]) == (
                "undeclared_third_party", "alpha/web", "api.pay.test",
            )  # fmt: skip
            assert finding["evidence"]["why"] == ["vendor_not_allowed"]
            _, _, body = await aggregator.get("/catalog/backstage.yaml")
            annotations = yaml.safe_load(body)["metadata"]["annotations"]
            assert annotations["plumbline.dev/vendor"] == "Pay"
            assert annotations["plumbline.dev/category"] == "payments"

    run(test)


def test_an_allowed_vendor_is_no_drift_and_without_a_row_it_is_nobodys(tmp_path: Path) -> None:
    file = tmp_path / "vendors.yaml"
    file.write_text("pay.test: [Pay, payments]\n")

    async def test() -> None:
        async with running(tmp_path / "data", vendors=file, allowed_vendors=("pay",)) as aggregator:
            await paid(aggregator)
            assert (await asked(aggregator, "drift"))["findings"] == []
        async with running(tmp_path / "data") as aggregator:
            (row,) = (await asked(aggregator, "vendors"))["vendors"]
            assert (row["id"], row["vendor"], row["domain"], row["requests"]) == ("pay.test", None, "pay.test", 5)

    run(test)
