"""However long agents report, the journal stays as long as its checkpoints let it be."""

from contextlib import suppress
from pathlib import Path

import pytest

from aggregator import pipeline
from tests.unit.outputs.running import Stream, agent, batch_now, run, running, until

CHECKPOINT_BYTES = 12_000
BATCHES = 1000


def journal_bytes(folder: Path) -> int:
    """Segments are removed meanwhile: one that has gone since it was listed has no bytes."""
    total = 0
    for path in folder.glob("journal-*.log"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def test_checkpoints_bound_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_CHECKPOINT_LOOK_SECONDS", 0.05)

    async def test() -> None:
        async with running(tmp_path, checkpoint_bytes=CHECKPOINT_BYTES) as aggregator:
            one, stream = agent(), Stream(aggregator.channel("agents"))
            await stream.greet(one.hello(0))
            written = 0
            for number in range(1, BATCHES + 1):
                batch = batch_now(one)
                written += batch.ByteSize()
                assert await stream.bring(batch) == number
                if number % 50 == 0:
                    # As an agent has it: seconds lie between, in which a checkpoint is made.
                    await until(lambda: journal_bytes(tmp_path) < 3 * CHECKPOINT_BYTES)
            assert written > 8 * CHECKPOINT_BYTES
        assert len(list(tmp_path.glob("checkpoint-*.bin"))) == 2
        async with running(tmp_path, checkpoint_bytes=CHECKPOINT_BYTES) as aggregator:
            stream = Stream(aggregator.channel("agents"))
            assert await stream.greet(one.hello(0)) == BATCHES

    run(test, 100)
