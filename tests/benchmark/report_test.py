from keras_regen.benchmark import join_reports
from keras_regen.benchmark.report import with_ratios

OURS = {
    "model": "ours",
    "is_peer": False,
    "case": "decode",
    "frames": 9,
    "height": 16,
    "width": 16,
    "batch_size": 1,
    "dtype": "float32",
    "seconds": 2.0,
    "operations_per_second": 10.0,
}
PEER = {**OURS, "model": "a peer", "is_peer": True, "seconds": 6.0}


def test_ratios_compare_the_same_case():
    others = [
        {**PEER, "case": "encode"},
        {**PEER, "height": 24},
        {**PEER, "dtype": "mixed_bfloat16"},
    ]
    ours, *peers = with_ratios([OURS, PEER, *others])
    assert ours["ratios"] == {"a peer": 3.0}
    assert peers == [PEER, *others]
    assert with_ratios([OURS])[0]["ratios"] == {}


def test_joined_reports():
    first = {
        "backend": "torch",
        "ceilings": {"float32": {"ceiling": 20.0}},
        "rows": [OURS, PEER],
        "skipped": ["a peer, encode"],
    }
    second = {
        "backend": "jax",
        "ceilings": {"float32": {"ceiling": 40.0}},
        "rows": [{**OURS, "seconds": 3.0}],
        "skipped": [],
    }
    joined = join_reports([first, second])
    assert joined["backend"] == "torch, jax"
    assert [row["backend"] for row in joined["rows"]] == ["torch", "jax", ""]
    # Shares of the best ceiling of both reports.
    assert [row["share_of_ceiling"] for row in joined["rows"]] == [0.25] * 3
    ratios = [row["ratios"]["a peer"] for row in joined["rows"][:2]]
    assert ratios == [3.0, 2.0]
    assert joined["skipped"] == ["a peer, encode"]
    assert joined["reports"] == [first, second]
