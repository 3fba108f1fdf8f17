"""The shipped figures, as an answer speaks of them."""

from __future__ import annotations

from adapter_store.judged import RECORDS, JudgedRecord, judged_records
from evaluation import shipped_results


def test_every_shipped_record_says_what_it_was_judged_on() -> None:
    shipped = shipped_results.read()
    assert len(shipped) == len(list(RECORDS.glob("*.json"))) > 20
    for record in shipped.values():
        found = judged_records(record.fingerprints)
        same = [one for one in found if (one.data, one.reverse) == (record.data, record.reverse)]
        assert len(same) == 1, record.data
        assert same[0].data_set is not None, f"data_sets.yaml lacks {record.data}"
        name, pair = same[0].figure
        assert pair.adapter.value == record.figures[name].adapter.value


def test_a_figure_is_of_one_adapter_one_task_and_one_base() -> None:
    prints = next(iter(shipped_results.read().values())).fingerprints
    assert judged_records(prints)
    for key in ("base", "quantization", "adapter", "task"):
        assert judged_records(prints | {key: "another"}) == []
    assert judged_records({key: value for key, value in prints.items() if key != "adapter"}) == []


def test_a_data_set_that_nobody_described_speaks_of_no_answer() -> None:
    pair = {"adapter": {"value": 1, "low": 0, "high": 2}}
    record = JudgedRecord(
        adapter="mine", task="t", data="mine/x.jsonl", rows=1, figures={"f": pair}, fingerprints={}
    )
    assert record.data_set is None
